#!/usr/bin/env bash
# Installs what is missing on a fresh machine:  provision.sh venv FOLDER | provision.sh debian
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'provision: %s\n' "$*" >&2; }

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# Services that packages bring along must not start: policy-rc.d is Debian's way to say so. One that exists stays as it is.
policy=/usr/sbin/policy-rc.d
made_policy=
forget_policy() { [ -z "$made_policy" ] || rm -f "$policy"; }
trap forget_policy EXIT

install() {
    say "installing Debian packages: $*"
    if [ ! -e "$policy" ]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    local log
    log=$(mktemp)
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        say "apt-get could not install: $*"
        exit 1
    fi
    rm -f "$log"
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

python=
find_python() {
    local candidate
    python=
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        command -v "$candidate" >/dev/null && is_recent "$candidate" || continue
        [ -n "$python" ] || python=$candidate
        if has_venv "$candidate"; then
            python=$candidate
            return 0
        fi
    done
    return 1
}

make_venv() {
    if ! find_python; then
        if [ -z "${PYTHON:-}" ] && may_install; then
            install python3 python3-venv ca-certificates
        elif [ -n "$python" ] && command -v virtualenv >/dev/null; then
            virtualenv --quiet --python "$python" "$1"
            return
        fi
        find_python || {
            [ -n "$python" ] && say "$python cannot make virtual environments: its modules venv and ensurepip are missing" ||
                say "there is no Python 3.11 or later (looked for ${PYTHON:-python3, python3.11 to python3.14})"
            say "as root, on Debian:  apt-get install python3 python3-venv"
            exit 1
        }
    fi
    say "creating $1 with $("$python" --version)"
    "$python" -m venv "$1"
}

# One line a need: how to tell that it is there, and the package that brings it.
needs() {
    cat <<'LIST'
command -v ip                       | iproute2
command -v ss                       | iproute2
command -v unshare                  | util-linux
command -v nsenter                  | util-linux
command -v ps                       | procps
command -v lsof                     | lsof
command -v nft                      | nftables
command -v iptables-legacy-save     | iptables
command -v conntrack                | conntrack
command -v clang                    | clang
ls /lib/systemd/systemd             | systemd
ls /usr/include/bpf/bpf_helpers.h   | libbpf-dev
command -v tshark                   | tshark
command -v dnsmasq                  | dnsmasq-base
command -v unbound                  | unbound
command -v npm                      | npm
command -v skopeo                   | skopeo
command -v rsyslogd                 | rsyslog
ls /usr/lib/*/rsyslog/lmnsd_ossl.so | rsyslog-openssl
command -v chromium                 | chromium
command -v redis-server             | redis-server
command -v mariadbd                 | mariadb-server
ls -d /usr/lib/postgresql/*/bin     | postgresql
command -v curl                     | curl
command -v cron                     | cron
command -v perl                     | perl
command -v promtool                 | prometheus
ls /usr/lib/nagios/plugins/negate   | monitoring-plugins-basic
ls /etc/ssl/certs/ca-certificates.crt | ca-certificates
LIST
}

provide_debian() {
    local test package missing=()
    while IFS='|' read -r test package; do
        eval "$test" >/dev/null 2>&1 || missing+=("${package// /}")
    done < <(needs)
    [ ${#missing[@]} -gt 0 ] || return 0
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if may_install; then
        install "${missing[@]}"
    elif [ "$(id -u)" = 0 ]; then
        say "missing, and there is no apt-get to install it with (Debian's names): ${missing[*]}"
        exit 1
    else
        say "not root: the live tests will be skipped; they would also need: ${missing[*]}"
    fi
}

case ${1:-} in
venv) make_venv "${2:?folder}" ;;
debian) provide_debian ;;
*)
    say "usage: provision.sh venv FOLDER | provision.sh debian"
    exit 2
    ;;
esac
