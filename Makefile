# The whole build: one non-recursive Makefile. `make` leaves build/tailor; MODE=release|debug|asan|tsan picks the tree.
MODE ?= release
O := build$(if $(filter-out release,$(MODE)),/$(MODE))
CC ?= gcc

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wdouble-promotion -Wstrict-prototypes \
        -Wmissing-prototypes -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 -Werror
ALL_CFLAGS := -std=c17 -D_GNU_SOURCE -Isrc -pthread -fno-math-errno -ffp-contract=off $(WARN) -MMD -MP
CFLAGS_release := -O2 -g
CFLAGS_debug := -O0 -g
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CFLAGS_tsan := -O1 -g -fsanitize=thread
ALL_CFLAGS += $(CFLAGS_$(MODE)) $(CFLAGS)
LIBS := -ljansson -lmicrohttpd -lyaml -lcrypto -lm -lpthread

SRC := $(wildcard src/*/*/*.c src/*/*/*/*.c)
OBJ := $(SRC:%.c=$(O)/%.o)
LIB_OBJ := $(filter-out $(O)/src/doors/cli/main.o,$(OBJ))
UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all units clean
.SECONDARY:
all: $(O)/tailor
units: $(UNIT)

$(O)/tailor: $(OBJ)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

%_avx2.o: ISA := -mavx2 -mfma -mf16c
%_avx512.o: ISA := -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni
%_amx.o: ISA := -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16 -mamx-tile -mamx-int8 -mamx-bf16
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ISA) -c -o $@ $<

$(O)/libtailor.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(O)/libtailor.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ -lcmocka -lpcre2-8 $(LIBS)

clean:
	rm -rf build
-include $(OBJ:.o=.d) $(UNIT:=.d)
