# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Second stage of debian12.sh: from the root tarball to a disk that boots itself. Sourced by it.

readonly root_uuid=8d3f5a0e-2c0b-4f6a-9d55-6376646562c2
# Predictable interface names are off, as in Debian's own cloud images. The mitigations guard against
# other programs in the same guest, cost much where the processor is emulated, and these guests are
# for tests and trials; the rest are facts about virtual machines that the kernel would look for.
readonly kernel_cmdline='net.ifnames=0 console=tty0 console=ttyS0 mitigations=off no_timer_check tsc=reliable cryptomgr.notests random.trust_cpu=on'

# Units of no use in a fresh virtual machine; each costs time where the processor is emulated.
readonly masked_units='
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount
  modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service
  modprobe@loop.service systemd-repart.service
  systemd-binfmt.service systemd-firstboot.service systemd-hwdb-update.service
  systemd-journal-catalog-update.service systemd-journal-flush.service systemd-pstore.service
  systemd-sysusers.service systemd-update-utmp-runlevel.service systemd-update-utmp.service
  e2scrub_reap.service'
# Background work at times of its own would disturb measurements.
readonly disabled_timers='
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer'

# debian12_configure ROOT: everything that makes the packages a cloud image, apart from booting.
debian12_configure() {
  local root=$1 primary security
  cp -r "$image_here/debian12/rootfs/." "$root/"
  sed -i "s|@CMDLINE@|$kernel_cmdline|" "$root/etc/default/grub"
  echo "UUID=$root_uuid / ext4 defaults,noatime 0 0" >"$root/etc/fstab"
  echo localhost >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
  echo LANG=C.UTF-8 >"$root/etc/default/locale"
  ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

  # The mirrors that the distribution's cloud-init names, not those of the machine that builds.
  primary=$(awk '$1 == "primary:" {print $2; exit}' "$root/etc/cloud/cloud.cfg")
  security=$(awk '$1 == "security:" {print $2; exit}' "$root/etc/cloud/cloud.cfg")
  [[ -n $primary && -n $security ]] || image_die "cloud.cfg of the image names no package mirrors"
  rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/*
  printf 'deb %s main\n' "$primary bookworm" "$primary bookworm-updates" \
    "$security bookworm-security" >"$root/etc/apt/sources.list"

  # shellcheck disable=SC2086  # lists of words
  chroot "$root" systemctl --quiet mask $masked_units
  # shellcheck disable=SC2086
  chroot "$root" systemctl --quiet disable $disabled_timers
  chroot "$root" systemctl --quiet enable systemd-networkd.service sshd-keygen.service
}

# debian12_make_bootable ROOT DISK: kernel, initramfs and GRUB for BIOS and UEFI.
debian12_make_bootable() {
  local root=$1 disk=$2 esp=$image_work/esp grub=$1/boot/grub target
  chroot "$root" update-tirfs >&2
  mkdir -p "$grub"
  cat >"$grub/grub.cfg" <<CFG
set timeout=0
search --no-floppy --fs-uuid --set=root $root_uuid
linux /vmlinuz root=UUID=$root_uuid ro $kernel_cmdline quiet
initrd /initrd.img
boot
CFG
  cat >"$image_work/early.cfg" <<CFG
search --no-floppy --fs-uuid --set=root $root_uuid
set prefix=(\$root)/boot/grub
configfile \$prefix/grub.cfg
CFG
  cp "$image_work/early.cfg" "$root/tmp/early.cfg"
  local modules='part_gpt ext2 fat search search_fs_uuid configfile linux normal echo serial test minicmd ls cat'
  # shellcheck disable=SC2086  # a list of words
  chroot "$root" grub-mkimage -O i386-pc -p /boot/grub -c /tmp/early.cfg -o /tmp/core.img biosdisk $modules
  # shellcheck disable=SC2086
  chroot "$root" grub-mkimage -O x86_64-efi -p /boot/grub -c /tmp/early.cfg -o /tmp/BOOTX64.EFI efi_gop $modules
  # What a grub.cfg made by update-grub after a kernel upgrade asks for.
  for target in i386-pc x86_64-efi; do
    mkdir -p "$grub/$target"
    cp "$root/usr/lib/grub/$target"/*.{mod,lst} "$grub/$target/"
  done
  image_install_bios_grub "$disk" "$root/usr/lib/grub/i386-pc/boot.img" "$root/tmp/core.img"
  image_esp "$disk" ESP "$esp"
  mmd -i "$esp" ::/EFI ::/EFI/BOOT
  mcopy -i "$esp" "$root/tmp/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
  image_write_esp "$disk" "$esp"
  rm "$root"/tmp/{early.cfg,core.img,BOOTX64.EFI}
}

# debian12_forget ROOT: what must be each guest's own, and what the build left.
debian12_forget() {
  local root=$1
  : >"$root/etc/machine-id"
  rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id "$root"/etc/.pwd.lock
  rm -f "$root"/vmlinuz.old "$root"/initrd.img.old
  rm -rf "$root"/var/lib/cloud "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old
  find "$root/var/log" -type f -delete
  rm -rf "$root"/tmp/* "$root"/var/tmp/* "$root"/run/*
}

# debian12_make_disk TARBALL IMAGE
debian12_make_disk() {
  local tarball=$1 image=$2 disk=$image_work/disk.raw root=$image_work/root first sectors folder
  local held=${#image_undo[@]}
  image_say "making the disk"
  image_gpt "$disk" 2048 32 --new=1:0:0 --typecode=1:8300 \
    --partition-guid=1:6d766326-5c3b-4d5e-8f3a-626f6f740001
  read -r first sectors < <(image_partition "$disk" 1)
  image_loop "$disk" "$first" "$sectors"
  mkfs.ext4 -q -L root -U "$root_uuid" -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$image_loop_device"
  mkdir "$root"
  image_mount "$image_loop_device" "$root"
  tar -C "$root" --numeric-owner --xattrs --xattrs-include='*' -xpf "$tarball"
  for folder in proc sys dev; do image_mount "/$folder" "$root/$folder" --bind; done
  debian12_configure "$root"
  debian12_make_bootable "$root" "$disk"
  debian12_forget "$root"
  # Unmounts and detaches all of the above, in order.
  image_release_to "$held"
  e2fsck -f -n "$disk?offset=$((first * 512))" >"$image_work/e2fsck.log" 2>&1 || {
    cat "$image_work/e2fsck.log" >&2
    image_die "the file system is not whole after it was unmounted"
  }
  image_say "converting to qcow2"
  qemu-img convert -f raw -O qcow2 "$disk" "$image_work/disk.qcow2"
  image_publish "$image_work/disk.qcow2" "$image"
}
