#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/images/tiny.sh [CACHE_FOLDER]
#
# Makes the tiny guest: Debian's cloud kernel and busybox, ready in seconds even without KVM.
# Three files in CACHE_FOLDER/tiny-HASH/: vmlinuz and initrd.img for a direct kernel boot
# (command line: console=ttyS0), and tiny.qcow2, which boots itself by BIOS and by UEFI. Prints the
# path of tiny.qcow2. What the guest does is told in tiny/init.
#
# Needs no root: nothing is mounted.

set -euo pipefail
image_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$image_here/lib.sh"
[[ $# -le 1 ]] || image_die "usage: tiny.sh [CACHE_FOLDER]"
image_cache=${1:-$image_cache}

# What goes wrong before the console is there is told as well.
readonly console='console=ttyS0 earlyprintk=ttyS0,115200 quiet'
# Facts about a virtual machine that the kernel would spend time to find out.
readonly fast='mitigations=off no_timer_check tsc=reliable cryptomgr.notests audit=0 random.trust_cpu=on'

# In the order of need; what each depends on comes first by itself.
readonly -A modules=(
  [early]='virtio_pci virtio_blk virtio_net virtio_scsi sr_mod isofs evdev button'
  [ide]='ata_piix'
  [late]='virtio_balloon virtio_rng virtio_console virtio_mem acpi_memhotplug'
)

# Unpacks the kernel package into FOLDER; the package itself stays in the cache.
unpack_kernel() {
  local folder=$1 name package
  mkdir -p "$image_cache/debs"
  package=$(find "$image_cache/debs" -name 'linux-image-*-cloud-amd64_*.deb' | sort -V | tail -n 1)
  if [[ -z $package ]]; then
    name=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" {print $2; exit}')
    [[ -n $name ]] || image_die "apt knows no linux-image-cloud-amd64: run 'apt-get update'"
    image_say "downloading $name"
    mkdir "$image_work/deb"
    # As the calling user: apt's own could not write into the scratch folder.
    (cd "$image_work/deb" && apt-get -q -o APT::Sandbox::User=root download "$name" >&2)
    package=$image_cache/debs/$(basename "$image_work"/deb/*.deb)
    image_publish "$image_work"/deb/*.deb "$package"
  fi
  mkdir -p "$folder"
  dpkg-deb --fsys-tarfile "$package" | tar -C "$folder" -xf - ./boot ./lib/modules
}

# module_list KERNEL_FOLDER VERSION MODULE…: what to insert, dependencies first; built-in ones and
# those that this kernel does not have are left out.
module_list() {
  local folder=$1 version=$2 module
  shift 2
  for module; do
    modprobe --dirname "$folder" --set-version "$version" --show-depends "$module" 2>/dev/null || true
  done | awk '$1 == "insmod" && !seen[$2]++ {print $2}'
}

make_initrd() {
  local kernel=$1 root=$image_work/root version applet list file
  version=$(basename "$kernel"/lib/modules/*)
  depmod --basedir "$kernel" "$version"
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,config,modules}
  cp /bin/busybox "$root/bin/"
  for applet in $(busybox --list); do
    [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
  done
  install -m 755 "$image_here/tiny/init" "$root/init"
  install -m 755 "$image_here/tiny/state" "$root/bin/state"
  install -m 644 "$image_here/tiny/flatten.awk" "$root/flatten.awk"
  for list in early ide late; do
    # shellcheck disable=SC2086  # a list of words
    module_list "$kernel" "$version" ${modules[$list]} | while IFS= read -r file; do
      cp "$file" "$root/modules/"
      basename "$file" .ko
    done >"$root/modules/$list.list"
  done
  grep -qx virtio_blk "$root/modules/early.list" || image_die "no virtio_blk among the kernel's modules"
  find "$root" -exec touch --no-dereference --date=@0 {} +
  (cd "$root" && find . -print0 | LC_ALL=C sort -z |
    cpio --null --create --format=newc --reproducible --owner=0:0 --quiet | zstd -q -19) >"$image_work/out/initrd.img"
}

make_disk() {
  local raw=$image_work/tiny.raw esp=$image_work/esp grub=$image_work/grub
  mkdir -p "$grub"
  cat >"$grub/early.cfg" <<'CFG'
search --no-floppy --label CVM-TINY --set=root
configfile ($root)/grub.cfg
CFG
  cat >"$grub/grub.cfg" <<CFG
linux /vmlinuz $console $fast
initrd /initrd.img
boot
CFG
  grub-mkimage -O i386-pc -p '(memdisk)' -c "$grub/early.cfg" -o "$grub/core.img" \
    biosdisk part_gpt fat search search_label configfile linux
  grub-mkimage -O x86_64-efi -p /EFI -c "$grub/early.cfg" -o "$grub/BOOTX64.EFI" \
    part_gpt fat search search_label configfile linux efi_gop
  image_gpt "$raw" 64 60
  image_esp "$raw" CVM-TINY "$esp"
  mmd -i "$esp" ::/EFI ::/EFI/BOOT
  mcopy -i "$esp" "$grub/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
  mcopy -i "$esp" "$grub/grub.cfg" "$image_work/out/vmlinuz" "$image_work/out/initrd.img" ::/
  image_write_esp "$raw" "$esp"
  image_install_bios_grub "$raw" /usr/lib/grub/i386-pc/boot.img "$grub/core.img"
  qemu-img convert -f raw -O qcow2 "$raw" "$image_work/out/tiny.qcow2"
}

target=$image_cache/tiny-$(image_hash "$image_here"/{lib.sh,tiny.sh,tiny/init,tiny/state,tiny/flatten.awk})
if [[ ! -d $target ]]; then
  image_lock tiny
  if [[ ! -d $target ]]; then
    image_need_tools busybox cpio depmod grub-mkimage mcopy mkfs.vfat qemu-img sgdisk zstd
    image_begin_work 512
    mkdir "$image_work/out"
    unpack_kernel "$image_work/kernel"
    cp "$image_work"/kernel/boot/vmlinuz-* "$image_work/out/vmlinuz"
    make_initrd "$image_work/kernel"
    make_disk
    image_publish "$image_work/out" "$target"
    image_say "made $target"
  fi
fi
echo "$target/tiny.qcow2"
