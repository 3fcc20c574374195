# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The default guest network: a bridge with an address for the host, and NAT for its guests. Source
# it. Everything made carries a mark (the bridge's alias, the nftables table's name, a file for the
# changed setting), so that network_down removes that and nothing else, and network_up can be run
# again at any time.

network_bridge=${network_bridge:-cvmbr0}
network_gateway=192.168.222.1
network_subnet=192.168.222.0/24
network_mark=cvm-quickstart
network_table=cvm_quickstart

network_bridge_exists() { [[ -e /sys/class/net/$network_bridge ]]; }

network_bridge_is_ours() {
  [[ $(cat "/sys/class/net/$network_bridge/ifalias" 2>/dev/null) == "$network_mark" ]]
}

# network_up RUN_FOLDER: 0 when the network is there; otherwise a message tells what is in the way.
network_up() {
  local run=$1 other
  if network_bridge_exists; then
    if ! network_bridge_is_ours; then
      echo "the interface $network_bridge exists and was not made by this script: it is left alone" >&2
      return 1
    fi
  else
    other=$(ip -4 -oneline route show to root "$network_subnet" table all | head -n 1)
    if [[ -n $other ]]; then
      echo "the host uses addresses of $network_subnet already: $other" >&2
      return 1
    fi
    # An address of its own: a bridge without one changes it with its ports.
    ip link add "$network_bridge" address 52:54:00:de:00:01 type bridge stp_state 0 forward_delay 0 || return
    if ! ip link set "$network_bridge" alias "$network_mark"; then
      ip link delete "$network_bridge"
      return 1
    fi
  fi
  # The host must not take routes from router advertisements of a guest.
  if [[ -e /proc/sys/net/ipv6/conf/$network_bridge/disable_ipv6 ]]; then
    echo 1 >"/proc/sys/net/ipv6/conf/$network_bridge/disable_ipv6" || return
  fi
  ip address replace "$network_gateway/${network_subnet#*/}" dev "$network_bridge" || return
  ip link set "$network_bridge" up || return

  mkdir -p "$run" || return
  if [[ $(cat /proc/sys/net/ipv4/ip_forward) == 0 ]]; then
    : >"$run/ip_forward.was-off" || return
    echo 1 >/proc/sys/net/ipv4/ip_forward || return
  fi
  if ! network_rules | nft -f -; then
    echo "the kernel refuses NAT (nftables with nat and masquerade is needed): guests of the default network could not reach the outside" >&2
    return 1
  fi
}

# One transaction that replaces our table.
network_rules() {
  cat <<RULES
table ip $network_table
delete table ip $network_table
table ip $network_table {
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr $network_subnet ip daddr != $network_subnet masquerade
  }
}
RULES
}

# network_down RUN_FOLDER: removes what network_up made.
network_down() {
  local run=$1
  if nft list table ip "$network_table" >/dev/null 2>&1; then
    nft delete table ip "$network_table" || return
  fi
  if network_bridge_exists && network_bridge_is_ours; then
    ip link delete "$network_bridge" || return
  fi
  if [[ -e $run/ip_forward.was-off ]]; then
    echo 0 >/proc/sys/net/ipv4/ip_forward || return
    rm -f "$run/ip_forward.was-off"
  fi
}

# network_name_servers: the host's name servers that a guest can reach too, one a line; perhaps none.
network_name_servers() {
  local file
  for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
    [[ -r $file ]] || continue
    awk '$1 == "nameserver" && $2 !~ /^(127\.|::1$|0\.0\.0\.0$|fe80:)/ && $2 !~ /:/ {print $2; found = 1}
         END {exit !found}' "$file" && return
  done
  return 0
}
