# SPDX-License-Identifier: Apache-2.0
# Completion of cvmctl for bash. Ids come from the agent; when it does not answer within a second
# there are none.

_cvmctl_ids() {
  local kind=$1
  shift
  local limit=()
  [[ $kind == operation ]] && limit=(--limit 50)
  command cvmctl --timeout 1s --quiet -o id "$@" "$kind" list "${limit[@]}" 2>/dev/null
}

_cvmctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local global="--socket --address --output --timeout --quiet --help"
  local mutation="--request-id --dry-run --wait"
  local group="" command="" where=() word i

  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    case $word in
      --socket | --address)
        where=("$word" "${COMP_WORDS[i + 1]}")
        ((++i))
        ;;
      -o | --output | --timeout) ((++i)) ;;
      -*) ;;
      *)
        if [[ -z $group ]]; then
          group=$word
        elif [[ -z $command ]]; then
          command=$word
        fi
        ;;
    esac
  done

  case $prev in
    -o | --output) mapfile -t COMPREPLY < <(compgen -W "table json id" -- "$cur") && return ;;
    --format) mapfile -t COMPREPLY < <(compgen -W "qcow2 raw" -- "$cur") && return ;;
    --mode) mapfile -t COMPREPLY < <(compgen -W "soft hard soft-first" -- "$cur") && return ;;
    --cdrom-bus) mapfile -t COMPREPLY < <(compgen -W "scsi sata ide" -- "$cur") && return ;;
    --firmware) mapfile -t COMPREPLY < <(compgen -W "bios uefi" -- "$cur") && return ;;
    --os) mapfile -t COMPREPLY < <(compgen -W "linux windows" -- "$cur") && return ;;
    --machine) mapfile -t COMPREPLY < <(compgen -W "q35 pc" -- "$cur") && return ;;
    --kind)
      mapfile -t COMPREPLY < <(compgen -W "orphaned-disk lost-disk orphaned-instance-folder
        orphaned-iso partial-image orphaned-image orphaned-tap domain-missing domain-transient
        definition-drift" -- "$cur")
      return
      ;;
    --image)
      mapfile -t COMPREPLY < <(compgen -W "$(_cvmctl_ids image "${where[@]}")" -- "$cur")
      return
      ;;
    --socket | --ssh-key | --user-data | --password-hash-file | -f | --file)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
      ;;
    --import-dir)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      return
      ;;
    --address | --timeout | --request-id | --name | --id | --vcpus | --memory | --disk | \
      --data-disk | --nic | --host-name | --tag | --description | --owner | --etag | \
      --soft-timeout | --recycle | --reason | --budget | --keep | --clear | --log | --duration | --sha256 | --default-user | --target | --limit)
      return
      ;;
  esac

  local flags="" arguments=""
  case "$group $command" in
    " ") arguments="image instance volume operation host completion" flags="--version" ;;
    "image ") arguments="import list get delete" ;;
    "instance ")
      arguments="create list get update start stop reboot resize reinstall rescue unrescue adopt
        delete restore watch serial screenshot"
      ;;
    "operation ") arguments="list get wait watch cancel" ;;
    "host ") arguments="get maintenance stop-guests check events" ;;
    "volume ") arguments="list get delete" ;;
    "completion ") arguments="bash zsh fish" ;;
    "image import")
      flags="--name --format --id --os --firmware --machine --cdrom-bus --default-user --sha256
        --owner --import-dir $mutation"
      [[ $cur == -* ]] || compopt -o filenames
      [[ $cur == -* ]] || arguments=$(compgen -f -- "$cur")
      ;;
    "image delete" | "volume delete") flags="--etag $mutation" ;;
    "volume list") flags="--owner" ;;
    "host maintenance") flags="--reason $mutation" arguments="on off" ;;
    "host stop-guests") flags="--budget $mutation" ;;
    "instance create")
      flags="--name --image --vcpus --memory --max-vcpus --max-memory --disk --data-disk --nic
        --host-name --ssh-key
        --password-hash-file --password-prompt --user-data --tag --description --owner --id
        --protect --no-start $mutation"
      ;;
    "instance list") flags="--owner" ;;
    "instance update")
      flags="--name --description --tag --owner --user-data --protect --unprotect --clear --etag
        $mutation"
      ;;
    "instance start" | "instance restore" | "instance unrescue") flags="$mutation" ;;
    "instance stop" | "instance reboot") flags="--mode --soft-timeout $mutation" ;;
    "instance resize") flags="--vcpus --memory --online --guest-timeout --force-stop $mutation" ;;
    "instance reinstall")
      flags="--image --disk --ssh-key --password-hash-file --password-prompt --keep-image-login
        --force-stop $mutation"
      ;;
    "instance rescue")
      flags="--ssh-key --password-hash-file --password-prompt --force-stop $mutation"
      ;;
    "instance adopt") flags="--id --owner $mutation" ;;
    "host check") flags="--repair --kind $mutation" ;;
    "host events") flags="--duration" ;;
    "instance delete") flags="--etag --keep --recycle $mutation" ;;
    "instance watch") flags="--json --duration" ;;
    "instance serial") flags="--log --take-over --read-only --duration" ;;
    "instance screenshot") flags="--file --force" ;;
    "operation list") flags="--target --unfinished --limit" ;;
    "operation cancel") flags="$mutation" ;;
  esac
  case "$group $command" in
    "image get" | "image delete") arguments=$(_cvmctl_ids image "${where[@]}") ;;
    "instance get" | "instance update" | "instance start" | "instance stop" | \
      "instance reboot" | "instance resize" | "instance reinstall" | "instance rescue" | \
      "instance unrescue" | "instance delete" | "instance restore" | \
      "instance serial" | "instance screenshot")
      arguments=$(_cvmctl_ids instance "${where[@]}")
      ;;
    "volume get" | "volume delete") arguments=$(_cvmctl_ids volume "${where[@]}") ;;
    "operation get" | "operation wait" | "operation watch" | "operation cancel")
      arguments=$(_cvmctl_ids operation "${where[@]}")
      ;;
  esac
  local IFS=$' \t\n'
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags $global" -- "$cur")
  else
    mapfile -t COMPREPLY < <(compgen -W "$arguments" -- "$cur")
  fi
}

complete -F _cvmctl cvmctl
