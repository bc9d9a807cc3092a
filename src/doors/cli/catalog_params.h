/* Options that the commands about the catalogue share. */
#ifndef CLI_CATALOG_PARAMS_H
#define CLI_CATALOG_PARAMS_H

/* clang-format off */
#define PARAM_SEARCH                                                                                                     \
    {"search", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "rows of which any column holds this text",              \
     "任一列含有该文字的行"}
#define PARAM_SORT                                                                                                       \
    {"sort", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "COLUMN", "order by a column; -COLUMN: the reverse",               \
     "按某列排序；-COLUMN 为倒序"}
#define PARAM_CATALOG                                                                                                    \
    {"catalog", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE", "CSV file or folder whose rows go over the catalogue's", \
     "CSV 文件或目录，其中的行覆盖内置目录"}
#define PARAM_DRY                                                                                                        \
    {"dry_run", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "check and show the changes, write nothing",             \
     "只检查并显示变更，不写入"}
/* clang-format on */

#endif
