# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Starts virtlogd and libvirtd where they do not run, and stops what it started. Source it. Through
# systemd where that is process 1; by hand otherwise. The configuration is the distribution's (and the
# administrator's) own in both cases: /etc/libvirt is neither changed nor shadowed, QEMU runs as the
# user set there.

libvirt_uri=qemu:///system

libvirt_with_systemd() { [[ -d /run/systemd/system ]]; }

libvirt_answers() { timeout 60 virsh --quiet --connect "$libvirt_uri" uri >/dev/null 2>&1; }

# libvirt_runs PROGRAM PID_FILE: whether that program runs, by its default pid files or by PID_FILE.
libvirt_runs() {
  local file pid
  for file in "/run/$1.pid" "/run/libvirt/$1.pid" "$2"; do
    pid=$(cat "$file" 2>/dev/null) || continue
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1" ]] && return 0
  done
  return 1
}

# libvirt_up RUN_FOLDER: returns when libvirt answers. What was started is noted in RUN_FOLDER.
libvirt_up() {
  local run=$1 unit deadline
  libvirt_answers && return 0
  mkdir -p "$run" || return
  if libvirt_with_systemd; then
    for unit in virtlogd.socket libvirtd.socket libvirtd.service; do
      systemctl --quiet is-active "$unit" && continue
      systemctl start "$unit" || return
      echo "$unit" >>"$run/libvirt.units"
    done
  else
    if ! libvirt_runs virtlogd "$run/virtlogd.pid"; then
      virtlogd --daemon --pid-file "$run/virtlogd.pid" 3>&- || return
    fi
    if ! libvirt_runs libvirtd "$run/libvirtd.pid"; then
      libvirtd --daemon --pid-file "$run/libvirtd.pid" 3>&- || return
    fi
  fi
  # The first connection waits for the probe of QEMU's capabilities.
  deadline=$((SECONDS + 120))
  until libvirt_answers; do
    if ((SECONDS >= deadline)); then
      echo "libvirtd was started but does not answer at $libvirt_uri" >&2
      return 1
    fi
    sleep 0.2
  done
}

# libvirt_stop_daemon PID_FILE NAME
libvirt_stop_daemon() {
  local pid deadline
  [[ -e $1 ]] || return 0
  pid=$(cat "$1")
  if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$2" ]]; then
    kill "$pid" || return
    deadline=$((SECONDS + 30))
    while [[ -e /proc/$pid ]]; do
      if ((SECONDS >= deadline)); then
        echo "$2 (process $pid) does not end" >&2
        return 1
      fi
      sleep 0.1
    done
  fi
  rm -f "$1"
}

# libvirt_down RUN_FOLDER: stops what libvirt_up started, unless somebody's guest is running: its log
# would be cut off.
libvirt_down() {
  local run=$1 unit guests
  [[ -e $run/libvirt.units || -e $run/libvirtd.pid || -e $run/virtlogd.pid ]] || return 0
  if libvirt_answers; then
    guests=$(virsh --quiet --connect "$libvirt_uri" list --name) || return
    if [[ -n ${guests//[[:space:]]/} ]]; then
      printf 'libvirtd keeps running, as these guests do:\n%s\n' "$guests" >&2
      return 0
    fi
  fi
  if [[ -e $run/libvirt.units ]]; then
    # Sockets first, or the next connection would start the services again.
    while IFS= read -r unit; do
      systemctl stop "$unit" || return
    done < <(sort -r "$run/libvirt.units" | awk '/socket$/ {print; next} {rest = rest $0 "\n"} END {printf "%s", rest}')
    rm -f "$run/libvirt.units"
  fi
  libvirt_stop_daemon "$run/libvirtd.pid" libvirtd || return
  libvirt_stop_daemon "$run/virtlogd.pid" virtlogd
}
