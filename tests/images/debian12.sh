#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/images/debian12.sh [CACHE_FOLDER]
#
# Makes a real Debian 12 cloud image from the distribution's packages, once: CACHE_FOLDER (default
# $CVM_CACHE, else /var/cache/cvm-tests) keeps the finished debian12-HASH.qcow2, and the packages as
# debian12-root-HASH.tar.zst, so that a changed configuration costs seconds and not minutes. Prints
# the path of the image. Needs root.
#
# The image boots from its own disk by BIOS and by UEFI (GPT: BIOS boot, EFI system partition, ext4
# root), has its console on ttyS0 as well as on the screen, and is configured by cloud-init from a
# config drive or a metadata service; without either it still makes SSH host keys and boots. User
# `debian` with sudo, as Debian's own images. It is trimmed to answer fast where the processor is
# emulated.

set -euo pipefail
image_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$image_here/lib.sh"
# shellcheck source=debian12/root.sh source-path=SCRIPTDIR
. "$image_here/debian12/root.sh"
# shellcheck source=debian12/disk.sh source-path=SCRIPTDIR
. "$image_here/debian12/disk.sh"
[[ $# -le 1 ]] || image_die "usage: debian12.sh [CACHE_FOLDER]"
image_cache=${1:-$image_cache}

mapfile -t sources < <(find "$image_here/debian12" -type f | LC_ALL=C sort)
image=$image_cache/debian12-$(image_hash "$image_here/lib.sh" "$image_here/debian12.sh" "${sources[@]}").qcow2
tarball=$image_cache/debian12-root-$(image_hash "$image_here"/debian12/{packages,root.sh}).tar.zst

if [[ ! -f $image ]]; then
  image_need_root
  # In a mount namespace of its own: one that another process makes meanwhile would hold a copy of our
  # mount, and the file system would stay in use after we unmounted it.
  if [[ ${CVM_IMAGE_NAMESPACE:-} != own ]]; then
    CVM_IMAGE_NAMESPACE=own exec unshare --mount --propagation private -- "$0" "$image_cache"
  fi
  image_lock debian12
  if [[ ! -f $image ]]; then
    image_need_tools e2fsck losetup mcopy mkfs.ext4 mkfs.vfat mmdebstrap qemu-img sgdisk zstd
    # The packages unpacked, their tarball, the disk and its qcow2 are never all there at once.
    image_begin_work 3072
    [[ -f $tarball ]] || debian12_make_root "$tarball"
    debian12_make_disk "$tarball" "$image"
    image_say "made $image"
  fi
fi
echo "$image"
