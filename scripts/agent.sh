# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Runs an agent of its own for the quick start: its configuration, state and socket lie in the two
# folders that the caller names, so that an installed agent on the same host is never touched. Source
# it after network.sh, with agent_build (the build folder), agent_state and agent_run set.

: "${agent_build:?}" "${agent_state:?}" "${agent_run:?}"
: "${network_bridge:?}" "${network_subnet:?}" "${network_gateway:?}"

# cvmctl, with output for programs.
agent_ctl() { "$agent_build/cli/cvmctl" --socket "$agent_run/agent.sock" --quiet "$@"; }

agent_pid() {
  local pid
  pid=$(cat "$agent_run/agent.pid" 2>/dev/null) || return 1
  # A pid may have been given to another process after a crash.
  [[ $(cat "/proc/$pid/comm" 2>/dev/null) == cvm-agentd ]] || return 1
  echo "$pid"
}

agent_configuration() {
  local servers
  # TOML's strings and arrays are written as JSON's here: addresses need no escaping.
  servers=$(network_name_servers | head -n 3 | sed 's/.*/"&"/' | paste -sd,)
  cat <<TOML
# Written by quickstart at each run.
state_dir = "$agent_state/agent"
import_dir = "$agent_state/import"
run_dir = "$agent_run"

[listen]
socket = "$agent_run/agent.sock"

[[network]]
id = "default"
bridge = "$network_bridge"
subnet = "$network_subnet"
gateway = "$network_gateway"
name_servers = [$servers]
TOML
}

# agent_up: returns when the agent answers. An agent of an older build or another configuration is
# replaced; guests do not notice.
agent_up() {
  local program=$agent_build/agent/cvm-agentd configuration=$agent_state/agent.toml version deadline
  install -d -m 0711 "$agent_state" "$agent_state/agent" "$agent_run" || return
  install -d -m 0700 "$agent_state/import" || return
  agent_configuration >"$configuration.new" || return
  mv "$configuration.new" "$configuration" || return
  "$program" --config "$configuration" --check-config || return
  version=$(sha256sum "$program" "$configuration") || return
  if agent_pid >/dev/null; then
    [[ $version == "$(cat "$agent_run/agent.version" 2>/dev/null)" ]] && agent_ctl host get && return 0
    agent_down || return
  fi
  # A session of its own: the terminal's signals are not for it. Descriptors of ours are not either.
  setsid "$program" --config "$configuration" </dev/null >>"$agent_state/agent.log" 2>&1 3>&- &
  echo $! >"$agent_run/agent.pid"
  echo "$version" >"$agent_run/agent.version"
  deadline=$((SECONDS + 120))
  until agent_ctl host get; do
    if ! agent_pid; then
      echo "the agent ended; its last words:"
      tail -n 10 "$agent_state/agent.log"
      return 1
    fi
    if ((SECONDS >= deadline)); then
      echo "the agent runs but does not answer"
      return 1
    fi
    sleep 0.3
  done
}

# agent_down: stops the agent; its guests run on.
agent_down() {
  local pid deadline=$((SECONDS + 60))
  if pid=$(agent_pid); then
    kill "$pid" || return
    while [[ -e /proc/$pid ]]; do
      if ((SECONDS >= deadline)); then
        echo "the agent (process $pid) does not stop"
        return 1
      fi
      sleep 0.1
    done
  fi
  rm -f "$agent_run/agent.pid" "$agent_run/agent.version"
}
