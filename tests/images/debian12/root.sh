# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# First stage of debian12.sh: the packages, as a tarball. Sourced by it. Its cache key is this file
# and the package list, so what the later stage configures never costs a new download.

# Prints one `deb` line for each Debian 12 source that the host's apt uses: the mirror is the
# administrator's choice, not ours. CVM_DEBIAN_SOURCES names a sources file to use instead.
debian12_sources() {
  if [[ -n ${CVM_DEBIAN_SOURCES:-} ]]; then
    cat -- "$CVM_DEBIAN_SOURCES"
    return
  fi
  # shellcheck disable=SC2016  # the placeholders are apt's
  apt-get indextargets \
    --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' 'Architecture: amd64' |
    grep -E ' bookworm(-updates|-security)? main$' | sort -u
}

# Host settings without which its mirror could not be reached or would be refused.
debian12_apt_options() {
  apt-config dump --format '%f "%v";%n' Acquire |
    grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ' || true
}

# debian12_make_root TARBALL
debian12_make_root() {
  local target=$1 line options=() sources=$image_work/debian.list
  debian12_sources >"$sources"
  grep -q ' bookworm ' "$sources" || image_die \
    "the host's apt knows no Debian 12 (bookworm) source: run 'apt-get update', or name a sources file in CVM_DEBIAN_SOURCES"
  while IFS= read -r line; do options+=(--aptopt="$line"); done < <(debian12_apt_options)
  image_say "installing $(wc -l <"$image_here/debian12/packages") packages and what they need (minutes)"
  # The work folder is on tmpfs where there is room; dpkg need not sync files that are packed next.
  TMPDIR=$image_work mmdebstrap --mode=root --variant=minbase --quiet \
    --include="$(paste -sd, "$image_here/debian12/packages")" \
    "${options[@]}" \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"' \
    bookworm "$image_work/root.tar.zst" "$sources" >&2
  image_publish "$image_work/root.tar.zst" "$target"
  rm -f "$image_work/root.tar.zst"
}
