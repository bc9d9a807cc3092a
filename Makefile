# The whole build: one non-recursive Makefile.
#   make            build/tailor                 make test       ./test without installing anything
#   make units      the unit test programs       make accept     what the features promise on the real model
#   make asan tsan  the same under sanitizers    make soak fuzz  hours, minutes a parser (FUZZ_S=1800)
#   make bench      measure against the peers    make install DESTDIR= PREFIX=/usr/local
#   make compile_commands.json
# MODE=release|debug|asan|tsan picks the tree under build/. CFLAGS and LDFLAGS are yours; ours are kept apart.
MODE ?= release
O := build$(if $(filter-out release,$(MODE)),/$(MODE))
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
CLANG ?= clang-14
PREFIX ?= /usr/local
FUZZ_S ?= 1800

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wdouble-promotion -Wstrict-prototypes \
        -Wmissing-prototypes -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 -Werror
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
# contraction off: clang would fuse a*b+c and gcc not, and two compilers would give different logits
BASE_CFLAGS := -std=c17 -D_GNU_SOURCE -Isrc -pthread -fno-math-errno -ffp-contract=off $(WARN)
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_debug := -O0 -g
CFLAGS_asan := -O1 -g1 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CFLAGS_tsan := -O1 -g1 -fsanitize=thread
CFLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
ALL_CFLAGS = $(BASE_CFLAGS) $(CFLAGS_$(MODE)) $(CFLAGS)
LIBS := -llua5.4 -lpcre2-8 -ljansson -lcurl -lzip -lmicrohttpd -lyaml -lcrypto -lm -lpthread

SRC := $(wildcard src/*/*/*.c src/*/*/*/*.c)
OBJ := $(SRC:%.c=$(O)/%.o)
LIB_OBJ := $(filter-out $(O)/src/doors/cli/main.o,$(OBJ))
ifeq ($(MODE),tsan) # what its tests have threads in
LIB_OBJ := $(filter $(O)/src/ground/% $(O)/src/compute/%,$(LIB_OBJ))
endif
UNIT := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
TSAN_UNIT := $(patsubst %,build/tsan/tests/unit/%,test_pool test_engine test_schedule test_device test_mat test_experts test_latent \
             test_tape_full test_http_server)
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all units clean test accept soak asan tsan fuzz bench install check-headers format
.SECONDARY:
all: $(O)/tailor
units: $(UNIT)

$(O)/tailor: $(OBJ)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@.part $^ $(LIBS) && mv $@.part $@

# instruction-set flags belong to single files
AVX2 := -mavx2 -mfma -mf16c
AVX512 := $(AVX2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni
AVX512BF16 := $(AVX512) -mavx512bf16
AVX512FP16 := $(AVX512BF16) -mavx512fp16
AMX := $(AVX512BF16) -mamx-tile -mamx-int8 -mamx-bf16
%_avx2.o: ISA := $(AVX2)
%_avx512.o: ISA := $(AVX512)
%_avx512bf16.o: ISA := $(AVX512BF16)
%_avx512fp16.o: ISA := $(AVX512FP16)
%_amx.o: ISA := $(AMX)

# rewritten only when the version is another, so that what carries it is rebuilt then and only then
$(O)/version: FORCE
	@mkdir -p $(@D); echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@
.PHONY: FORCE
$(O)/src/doors/cli/cmd_version.o: $(O)/version
$(O)/src/doors/cli/cmd_version.o: ISA := -DTAILOR_VERSION='"$(VERSION)"'

# the catalogue is part of the program
$(O)/src/lifecycle/plan/catalogue_data.o: $(wildcard catalog/*.csv)

# a build that is killed leaves no half of a file that the next one would take for whole
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ISA) -MMD -MP -MF $(@:.o=.d.part) -MT $@ -c -o $@.part $<
	@mv $(@:.o=.d.part) $(@:.o=.d) && mv $@.part $@

$(O)/libtailor.a: $(LIB_OBJ)
	@rm -f $@.part
	ar rcs $@.part $^ && mv $@.part $@

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(O)/libtailor.a
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@.part $^ -lcmocka $(LIBS) && mv $@.part $@

# the kernels of instruction sets that this machine may lack, on portable intrinsics and emulated tiles
EMU := $(patsubst %.c,$(O)/%.o,$(wildcard tests/emu/*.c))
$(EMU): ISA := -Wno-psabi -fwrapv
$(O)/tests/unit/test_kern_emulated: $(EMU)

test: all units
	$(MAKE) asan tsan
	python3 tests/run.py

asan:
	$(MAKE) MODE=asan all units
tsan:
	$(MAKE) MODE=tsan $(TSAN_UNIT)

accept: all
	tests/accept.sh
soak: all
	tests/soak.sh
bench: all
	bench/run.sh

# One libFuzzer program a parser, on its own corpus; stops at the first finding. No parser computes, and clang takes a
# quarter of an hour over one instrumented kernel.
build/fuzz/src/compute/kernels/kern_%.o: CFLAGS_fuzz := -O1 -g
build/fuzz/%: tests/fuzz/fuzz_%.c $(SRC)
	@mkdir -p $(@D)
	$(MAKE) MODE=fuzz CC="$(CLANG)" build/fuzz/libtailor.a
	$(CLANG) $(BASE_CFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined -o $@ $< build/fuzz/libtailor.a $(LIBS)
fuzz: $(FUZZ:%=build/fuzz/%)
	@for f in $(FUZZ); do mkdir -p build/fuzz/corpus/$$f tests/fuzz/corpus/$$f && \
	  build/fuzz/$$f -max_total_time=$(FUZZ_S) -rss_limit_mb=2048 -timeout=20 -max_len=65536 \
	    build/fuzz/corpus/$$f tests/fuzz/corpus/$$f || exit 1; done

check-headers:
	@for h in $$(find src -name '*.h'); do \
	  printf '#include "%s"\nextern int header_end;\n' "$${h#src/}" | $(CC) $(BASE_CFLAGS) $(AMX) -x c -fsyntax-only - || { echo "$$h is not self-contained"; exit 1; }; done

format:
	clang-format-14 -i $$(git ls-files 'src/*.[ch]' 'tests/*.c')

install: all
	install -D -m 755 $(O)/tailor $(DESTDIR)$(PREFIX)/bin/tailor
	for l in en zh; do mkdir -p $(DESTDIR)$(PREFIX)/share/doc/tailor/$$l && \
	  install -m 644 docs/manual/$$l/*.md $(DESTDIR)$(PREFIX)/share/doc/tailor/$$l/; done
	mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(O)/tailor completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tailor

compile_commands.json: Makefile
	@{ echo '['; sep=; for f in $(SRC); do \
	  case $$f in *_avx2.c) i='$(AVX2)';; *_avx512.c) i='$(AVX512)';; *_avx512bf16.c) i='$(AVX512BF16)';; *_avx512fp16.c) i='$(AVX512FP16)';; \
	  *_amx.c) i='$(AMX)';; *) i=;; esac; \
	  printf '%s{"directory":"%s","file":"%s","command":"%s %s %s -c %s"}\n' "$$sep" "$(CURDIR)" "$$f" "$(CC)" \
	    "$(BASE_CFLAGS) $(CFLAGS_release)" "$$i" "$$f"; sep=,; done; echo ']'; } >$@

clean:
	rm -rf build compile_commands.json
-include $(OBJ:.o=.d) $(UNIT:=.d) $(EMU:.o=.d)
