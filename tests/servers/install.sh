#!/usr/bin/env bash
# Install the real programs that the tests run against. Quick when everything is there.
#
#   install.sh            all of them
#   install.sh programs   those that apt has
#   install.sh apiserver  kube-apiserver, built from Debian's source package
#   install.sh registry   docker-registry alone, which is what the demo needs
#
# What can't be had is named and ends well, for the tests that need it skip; with
# REGCTL_REQUIRE_SERVERS set it is a failure.
set -euo pipefail

cache=${REGCTL_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/regctl-test-servers}
programs=( # package=program
  docker-registry=docker-registry apache2-utils=htpasswd apache2=apache2 nginx-light=nginx
  haproxy=haproxy caddy=caddy skopeo=skopeo etcd-server=etcd
  zsh=zsh fish=fish groff-base=groff
)
build_packages=(
  golang-go golang-github-modern-go-reflect2-dev golang-github-json-iterator-go-dev
  golang-github-modern-go-concurrent-dev dpkg-dev rsync make jq
)

work=     # folder to build in
policy=   # the file that forbids services to start, where it is ours
services= # those that were there before us, once we install anything

say() { printf '%s\n' "test servers: $*" >&2; }

# The packages bring services with them: none may start now, nor with the machine.
forbid_services() {
  services=$(list_services)
  if [ -e /usr/sbin/policy-rc.d ]; then return 0; fi
  policy=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}

list_services() {
  find /lib/systemd/system -name '*.service' ! -name '*@*' -printf '%f\n' 2>/dev/null | sort || true
}

clean_up() {
  if [ -n "$services" ] && command -v systemctl >/dev/null; then
    comm -13 <(printf '%s\n' "$services") <(list_services) |
      as_root xargs -r systemctl --quiet disable 2>/dev/null || true
  fi
  if [ -n "$policy" ]; then as_root rm -f "$policy"; fi
  if [ -n "$work" ]; then chmod -R u+w "$work" && rm -rf "$work"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_install() {
  command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

# Run a command; show the end of what it said only where it fails.
quietly() {
  local said
  said=$("$@" 2>&1) || { printf '%s\n' "$said" | tail -20 >&2; return 1; }
}

apt_install() {
  forbid_services
  quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    --yes --no-install-recommends install "$@"
}

install_programs() {
  local missing=() pair
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair#*=}" >/dev/null || missing+=("${pair%=*}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! can_install; then
    say "not installed: ${missing[*]}; ask root for: apt-get install ${missing[*]}"
    return 0
  fi
  say "installing ${missing[*]}"
  quietly as_root apt-get -o DPkg::Lock::Timeout=300 update
  apt_install "${missing[@]}"
}

# Debian's sources of packages, asked for source code: a copy of the lists with `deb` turned to
# `deb-src`, in a folder of its own, so that the machine's own lists stay as they are.
source_lists() {
  local lists=$1 file
  mkdir -p "$lists"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -s "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$lists/$(basename "$file" .list).list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -s "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$lists/$(basename "$file")"
  done
  return 0
}

build_apiserver() {
  local work=$1 tree version
  source_lists "$work/lists"
  local apt=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/lists"
    -o Dir::State::Lists="$work/state" -o APT::Sandbox::User=root)
  mkdir -p "$work/state/partial" "$work/source"
  quietly apt-get "${apt[@]}" update
  (cd "$work/source" && quietly apt-get "${apt[@]}" source --download-only kubernetes)
  quietly dpkg-source --no-check -x "$work"/source/kubernetes_*.dsc "$work/tree"
  tree=$work/tree
  version=$(dpkg-parsechangelog -l "$tree/debian/changelog" -S Version)
  # The vendored copies are older than Go 1.19 likes: they panic on Secrets.
  local module
  for module in github.com/modern-go/reflect2 github.com/json-iterator/go; do
    rsync -a --delete --exclude='*_test.go' \
      "/usr/share/gocode/src/$module/" "$tree/vendor/$module/"
  done
  mkdir -p "$tree/.go/src/k8s.io"
  ln -sfn "$tree" "$tree/.go/src/k8s.io/kubernetes"
  (
    cd "$tree/.go/src/k8s.io/kubernetes"
    GO111MODULE=off GOPATH=$tree/.go GOCACHE=$work/go-cache CGO_ENABLED=0 GOTOOLCHAIN=local \
      GOFLAGS='' PATH=/usr/lib/go/bin:$PATH \
      make WHAT=cmd/kube-apiserver GOLDFLAGS='-s -w' >"$work/build.log" 2>&1
  ) || { tail -30 "$work/build.log" >&2; return 1; }
  mkdir -p "$cache"
  cp "$tree/_output/bin/kube-apiserver" "$cache/.new-$$"
  mv "$cache/.new-$$" "$cache/kube-apiserver-$version"
}

install_apiserver() {
  if compgen -G "$cache/kube-apiserver-*" >/dev/null || command -v kube-apiserver >/dev/null ||
    [ -x "${KUBEBUILDER_ASSETS:-/nonexistent}/kube-apiserver" ]; then
    return 0
  fi
  if ! can_install; then
    say "no kube-apiserver: set KUBEBUILDER_ASSETS to a folder that has one, with etcd"
    return 0
  fi
  say "building kube-apiserver from Debian's source, once; this takes some minutes"
  apt_install "${build_packages[@]}"
  work=$(mktemp -d)
  build_apiserver "$work"
}

# A step in a process of its own: it stops at its first error, and what it made is cleaned up.
step() {
  "$0" "$@" && return 0
  say "$1: failed"
  [ -z "${REGCTL_REQUIRE_SERVERS:-}" ]
}

case ${1:-all} in
  all)
    step programs
    step apiserver
    ;;
  registry) step programs docker-registry=docker-registry ;;
  programs)
    shift
    [ $# -gt 0 ] || set -- "${programs[@]}"
    install_programs "$@"
    ;;
  apiserver) install_apiserver ;;
  *)
    say "usage: $0 [all|programs|apiserver|registry]"
    exit 2
    ;;
esac
