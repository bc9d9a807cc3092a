/* Function attributes that gcc and clang share, under names that say what they are for. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define MUST_CHECK                    __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_idx, arg_idx) __attribute__((format(printf, fmt_idx, arg_idx)))
#define UNUSED                        __attribute__((unused))

/* Number of elements of an array (not of a pointer). */
#define N_ELEM(a) (sizeof(a) / sizeof((a)[0]))

#endif
