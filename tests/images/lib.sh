# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Shared by the image makers beside this file. Source it; it defines functions and the variables
# `image_cache` (where finished images live) and `image_work` (a scratch folder, see
# image_begin_work), and it owns the EXIT trap.
#
# Contract of every maker: standard output carries only the path of the finished image, as its last
# line; progress goes to standard error. A finished file appears by rename, so a path that exists is
# complete. Whatever was mounted or attached on the way is released on every exit.

image_cache=${CVM_CACHE:-/var/cache/cvm-tests}
image_work=
image_started=$SECONDS
# Commands that release something, run last-in first-out on exit.
image_undo=()

image_say() { printf '%s: %3d s: %s\n' "${0##*/}" $((SECONDS - image_started)) "$*" >&2; }

image_die() {
  printf '%s: error: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

image_on_exit() { image_undo+=("$1"); }

# image_release_to COUNT: releases what was registered since there were COUNT commands.
image_release_to() {
  local last
  while ((${#image_undo[@]} > $1)); do
    last=${image_undo[-1]}
    unset 'image_undo[-1]'
    eval "$last" || printf '%s: warning: could not run: %s\n' "${0##*/}" "$last" >&2
  done
}
trap 'image_release_to 0' EXIT
# `set -e` ends a script without a word otherwise.
set -E
trap 'printf "%s: error: line %s: failed: %s\n" "${0##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# image_hash FILE…: a short name for the content of these files.
image_hash() { cat -- "$@" | sha256sum | cut -c1-16; }

image_need_root() { [[ $EUID -eq 0 ]] || image_die "must run as root (loop devices and mounts)"; }

image_need_tools() {
  local tool missing=()
  for tool; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  ((${#missing[@]} == 0)) || image_die "missing tools: ${missing[*]} (scripts/packages.sh names their packages)"
}

# image_lock NAME: waits until no other maker of NAME runs; held until exit. The descriptor is
# closed in children that outlive us by design: there are none.
image_lock() {
  mkdir -p "$image_cache"
  exec {image_lock_fd}>"$image_cache/.$1.lock"
  if ! flock -n "$image_lock_fd"; then
    image_say "another run makes $1: waiting for it"
    flock "$image_lock_fd"
  fi
}

# image_begin_work NEED_MIB: makes the scratch folder `image_work`, in memory where there is room
# for NEED_MIB (unpacking thousands of files is several times faster there), else beside the cache.
image_begin_work() {
  local need=$1 base=$image_cache free
  if [[ -d /dev/shm && -w /dev/shm ]]; then
    free=$(df --output=avail -m /dev/shm | tail -n 1)
    # The file system's own limit says nothing about memory that is in use.
    local memory
    memory=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
    ((free > need && memory > need + 1024)) && base=/dev/shm
  fi
  image_work=$(mktemp -d "$base/cvm-image.XXXXXX")
  image_on_exit "rm -rf --one-file-system '$image_work'"
}

# image_publish SOURCE TARGET: puts a finished file or folder in its place, whole or not at all, also across
# file systems.
image_publish() {
  local temporary=$2.tmp.$$
  image_on_exit "rm -rf '$temporary'"
  cp -r -- "$1" "$temporary"
  sync "$temporary"
  mv -- "$temporary" "$2"
}

# image_loop FILE FIRST_SECTOR SECTORS: attaches that part of FILE, sets `image_loop_device`. By
# offset and not by partition scan: not every kernel creates partition nodes for loop devices.
image_loop() {
  image_loop_device=$(losetup --find --show --offset $(($2 * 512)) --sizelimit $(($3 * 512)) "$1")
  image_on_exit "losetup -d '$image_loop_device'"
}

# image_mount SOURCE TARGET [OPTION…]
image_mount() {
  local source=$1 target=$2
  shift 2
  mount "$@" "$source" "$target"
  image_on_exit "umount '$target'"
}

# image_gpt FILE SIZE_MIB FIRST_PARTITION_ARGUMENTS…: an empty disk image with a GPT whose identifiers
# are the same each time. Partition 14 takes GRUB's core for BIOS, 15 is the EFI system partition of
# ESP_MIB; what is left is up to the caller's sgdisk arguments.
image_gpt() {
  local file=$1 size=$2 esp=$3
  shift 3
  rm -f "$file"
  truncate -s "${size}M" "$file"
  sgdisk --disk-guid=6d766326-5c3b-4d5e-8f3a-637664697363 \
    --new=14:2048:+1M --typecode=14:ef02 --partition-guid=14:6d766326-5c3b-4d5e-8f3a-626f6f740014 \
    "--new=15:0:+${esp}M" --typecode=15:ef00 --partition-guid=15:6d766326-5c3b-4d5e-8f3a-626f6f740015 \
    "$@" "$file" >/dev/null
}

# image_partition FILE NUMBER: prints its first sector and its number of sectors.
image_partition() {
  sgdisk --info="$2" "$1" |
    awk '/^First sector:/ {first = $3} /^Last sector:/ {last = $3} END {print first, last - first + 1}'
}

# image_esp DISK LABEL FILE: FILE becomes an empty FAT file system of the size of DISK's partition 15.
# In a file of its own: mtools needs no root for one, and no loop device.
image_esp() {
  local first sectors
  read -r first sectors < <(image_partition "$1" 15)
  truncate -s $((sectors * 512)) "$3"
  mkfs.vfat --invariant -n "$2" "$3" >/dev/null
}

# image_write_esp DISK FILE: puts it in its place.
image_write_esp() {
  local first sectors
  read -r first sectors < <(image_partition "$1" 15)
  dd if="$2" of="$1" bs=512 seek="$first" conv=notrunc,sparse status=none
}

# image_little_endian NUMBER BYTES: the bytes, on standard output.
image_little_endian() {
  local i number=$1
  for ((i = 0; i < $2; i++)); do
    # shellcheck disable=SC2059  # the escape is what we print
    printf "\\x$(printf %02x $((number & 255)))"
    number=$((number >> 8))
  done
}

# image_install_bios_grub FILE BOOT_IMG CORE_IMG: GRUB for BIOS on the disk image FILE: boot.img into
# the first sector, core.img into partition 14. Done by hand, as grub-bios-setup wants a mounted
# root file system and a device map. The offsets are GRUB's on-disk interface (its
# include/grub/i386/pc/boot.h): 0x5c in boot.img is the sector of core.img, the jump at 0x66 checks
# for a floppy and is made a no-op on hard disks; the first sector of core.img ends in the block list
# of the rest: sector, count, and the segment it is loaded to.
image_install_bios_grub() {
  local file=$1 boot_image=$2 core_image=$3 first sectors size
  read -r first sectors < <(image_partition "$file" 14)
  size=$((($(stat -c %s "$core_image") + 511) / 512))
  ((size <= sectors)) || image_die "GRUB's core needs $size sectors, its partition has $sectors"
  dd if="$boot_image" of="$file" bs=440 count=1 conv=notrunc status=none
  image_little_endian "$first" 8 | dd of="$file" bs=1 seek=$((0x5c)) conv=notrunc status=none
  image_little_endian $((0x9090)) 2 | dd of="$file" bs=1 seek=$((0x66)) conv=notrunc status=none
  dd if="$core_image" of="$file" bs=512 seek="$first" conv=notrunc status=none
  {
    image_little_endian $((first + 1)) 8
    image_little_endian $((size - 1)) 2
    image_little_endian $((0x820)) 2
  } | dd of="$file" bs=1 seek=$((first * 512 + 500)) conv=notrunc status=none
}
