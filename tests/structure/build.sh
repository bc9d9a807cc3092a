#!/usr/bin/env bash
# The other compiler, headers that stand alone, the same layout for everyone, nothing of AVX outside its files,
# an installation that runs.
cd "$(dirname "$0")/../.."
say() { if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1: $(tail -n 3 build/structure.log | tr '\n' ' ')"; bad=1; fi; }
bad=0
mkdir -p build

if command -v clang-14 >/dev/null; then
    make -s -j"$(nproc)" CC=clang-14 MODE=clang CFLAGS_clang=-O1 all >build/structure.log 2>&1; say "clang 14 builds it without a warning" $?
else echo "skip clang 14: not installed"; fi

make -s check-headers >build/structure.log 2>&1; say "every header is self-contained" $?

if command -v clang-format-14 >/dev/null; then
    git ls-files 'src/*.[ch]' 'tests/*.c' | xargs clang-format-14 -n -Werror >build/structure.log 2>&1; say "clang-format leaves every file as it is" $?
else echo "skip clang-format: not installed"; fi

# the program must start on any x86-64: wide registers only in files named for their instruction set
for o in $(find build/src -name '*.o' | grep -v -e _avx2.o -e _avx512.o -e _avx512bf16.o -e _avx512fp16.o -e _amx.o); do
    objdump -d --no-show-raw-insn "$o" | grep -q '%[yz]mm' && echo "$o"
done >build/structure.log
[ ! -s build/structure.log ]; say "no AVX outside the files of its instruction set" $?

rm -rf build/install
{ make -s install DESTDIR="$PWD/build/install" PREFIX=/usr && build/install/usr/bin/tailor version; } >build/structure.log 2>&1
say "make install leaves a program that runs" $?

make -s compile_commands.json >build/structure.log 2>&1 && python3 -c 'import json; assert len(json.load(open("compile_commands.json"))) > 50' 2>>build/structure.log
say "compile_commands.json is JSON" $?
exit $bad
