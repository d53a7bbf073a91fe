#!/usr/bin/env bash
# Sees to it that this machine has what a target needs, and installs what is missing where it can (Debian, Ubuntu, as root).
#
#   dev/setup.sh build       a Rust toolchain, a C and a C++ compiler, make, the headers of OpenSSL
#   dev/setup.sh services    a JDK (17 or later) and Maven for Kafka; PostgreSQL is installed by dev/services/services.sh itself
#   dev/setup.sh bench       on top of both, for the programs we are measured against: Go, Python 3.11
set -euo pipefail

die() { printf 'setup.sh: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

wanted=()
want() { # PROGRAM PACKAGE
  have "$1" || wanted+=("$2")
}

has_jdk() { # 17 or later
  local home version
  for home in "${DATAFLOW_SERVICES_JAVA17:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    [[ -x $home/bin/java ]] || continue
    version=$("$home/bin/java" -version 2>&1 | sed -n '1s/[^"]*"\([0-9]*\).*/\1/p')
    if ((${version:-0} >= 17)); then return 0; fi
  done
  return 1
}

for what in "${@:-build}"; do
  case $what in
    build)
      have cargo || die "cargo is missing: install Rust from https://rustup.rs (rust-toolchain.toml names the version)"
      want cc gcc
      want c++ g++     # librdkafka, libFuzzer
      want make make   # librdkafka
      want pkg-config pkg-config
      [[ -f /usr/include/openssl/ssl.h ]] || wanted+=(libssl-dev)   # librdkafka's TLS
      ;;
    services)
      want curl curl
      want mvn maven
      want runuser util-linux
      want npm npm     # Azurite
      has_jdk || wanted+=(default-jdk-headless)
      ;;
    bench)
      have go || die "go is missing (1.24 or later): install it from https://go.dev/dl; Debian's is too old"
      have python3.11 || wanted+=(python3.11 python3.11-venv)   # Flink and Pathway have packages for it
      want envsubst gettext-base
      want javac default-jdk-headless
      ;;
    *) die "usage: setup.sh [build] [services] [bench]" ;;
  esac
done

((${#wanted[@]})) || exit 0
have apt-get || die "missing: ${wanted[*]} (Debian's names); install them and try again"
sudo=()
if [[ $(id -u) != 0 ]]; then
  have sudo || die "missing: ${wanted[*]}; install them as root: apt-get install ${wanted[*]}"
  sudo=(sudo)
fi
echo "setup.sh: installing ${wanted[*]}"
"${sudo[@]}" apt-get -qq update || true
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${wanted[@]}" ||
  die "apt-get could not install ${wanted[*]}"
