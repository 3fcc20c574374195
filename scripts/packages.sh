# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The Debian 12 packages that the project uses, by purpose, and `ensure_packages`. Source it.

# Each list is read through its name: packages_PURPOSE.
# shellcheck disable=SC2034
packages_build='
  ccache cmake g++ mold ninja-build pkg-config scdoc
  libabsl-dev libcli11-dev libcrypt-dev libfmt-dev libgrpc++-dev libnl-route-3-dev libpng-dev
  libprotobuf-dev libpugixml-dev libspdlog-dev libsqlite3-dev libssl-dev libsystemd-dev
  libtomlplusplus-dev libvirt-dev nlohmann-json3-dev protobuf-compiler protobuf-compiler-grpc'

packages_runtime='
  ipxe-qemu libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system
  ovmf qemu-block-extra qemu-system-x86 qemu-utils seabios
  iproute2 nftables'

# What tests/images/debian12.sh needs, and a login into what it makes.
packages_image='dosfstools e2fsprogs fdisk gdisk mmdebstrap mount mtools openssh-client zstd'

# shellcheck disable=SC2034
packages_test="$packages_runtime $packages_image"'
  clang-16 clang-format-16 clang-tidy-16 clang-tools-16 libclang-rt-16-dev lld-16 llvm-16
  libgmock-dev libgtest-dev
  dnsmasq-base ebtables iptables
  genisoimage libxml2-utils user-mode-linux xorriso
  busybox-static cpio grub-common grub-efi-amd64-bin grub-pc-bin kmod
  git groff-base procps python3 python3-grpcio python3-protobuf python3-pyflakes python3-pytest
  shellcheck socat systemd'

# missing_packages PURPOSE…: prints the packages of these purposes that are not installed.
missing_packages() {
  local purpose list package
  local -A installed=()
  while read -r package; do
    installed[$package]=1
  done < <(dpkg-query --show --showformat='${binary:Package} ${db:Status-Status}\n' |
    awk '$2 == "installed" {sub(/:.*/, "", $1); print $1}')
  for purpose; do
    list=packages_$purpose
    if [[ -z ${!list:-} ]]; then
      echo "no packages are listed for: $purpose" >&2
      return 2
    fi
    for package in ${!list}; do
      [[ -n ${installed[$package]:-} ]] || echo "$package"
    done
    # npm comes in Debian's package or with another Node.js: what counts is that it is there.
    if [[ $purpose == test ]] && ! command -v npm >/dev/null; then echo npm; fi
  done | sort -u
}

# ensure_packages PURPOSE…: installs what is missing, and only that; needs root if something is.
# Whether the installation starts services is the host's own policy (policy-rc.d), left as it is.
ensure_packages() {
  local missing
  missing=$(missing_packages "$@") || return
  [[ -n $missing ]] || return 0
  if [[ $EUID -ne 0 ]]; then
    printf 'these packages are missing, and only root can install them:\n%s\n' "$missing" >&2
    return 1
  fi
  local options=(-qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
  export DEBIAN_FRONTEND=noninteractive
  apt-get "${options[@]}" update >&2 || return
  # shellcheck disable=SC2086  # a list of words
  apt-get "${options[@]}" install -y --no-install-recommends $missing >&2
}
