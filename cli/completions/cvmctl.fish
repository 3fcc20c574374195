# SPDX-License-Identifier: Apache-2.0
# Completion of cvmctl for fish. Ids come from the agent; when it does not answer within a second
# there are none.

function __cvmctl_ids
    set -l limit
    test $argv[1] = operation; and set limit --limit 50
    command cvmctl --timeout 1s --quiet -o id $argv[1] list $limit 2>/dev/null
end

# Whether the command line so far is this group, or this group and one of these commands.
function __cvmctl_at
    set -l words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case --socket --address -o --output --timeout
                set skip 1
            case '-*'
            case '*'
                set -a words $word
        end
    end
    if test (count $argv) = 0
        test (count $words) = 0
    else if test (count $argv) = 1
        test (count $words) = 1; and test $words[1] = $argv[1]
    else
        test (count $words) -ge 2; and test $words[1] = $argv[1]; and contains $words[2] $argv[2..-1]
    end
end

complete -c cvmctl -f
complete -c cvmctl -l socket -r -F -d 'Socket of the agent'
complete -c cvmctl -l address -x -d 'TCP address of the agent'
complete -c cvmctl -s o -l output -x -a 'table json id' -d 'Output format'
complete -c cvmctl -l timeout -x -d 'Give up after this long'
complete -c cvmctl -s q -l quiet -d 'No progress and no notes'
complete -c cvmctl -l help -d 'Show help'
complete -c cvmctl -n __cvmctl_at -l version -d 'Show the version'

complete -c cvmctl -n __cvmctl_at -a image -d 'Images that instances are made from'
complete -c cvmctl -n __cvmctl_at -a instance -d 'Virtual machines'
complete -c cvmctl -n __cvmctl_at -a volume -d 'Data disks that were kept'
complete -c cvmctl -n __cvmctl_at -a operation -d 'Work that is under way or has ended'
complete -c cvmctl -n __cvmctl_at -a host -d 'The host itself'
complete -c cvmctl -n __cvmctl_at -a completion -d 'Print a completion script'
complete -c cvmctl -n '__cvmctl_at image' -a 'import list get delete'
complete -c cvmctl -n '__cvmctl_at instance' \
    -a 'create list get update start stop reboot resize reinstall rescue unrescue adopt delete restore watch serial screenshot'
complete -c cvmctl -n '__cvmctl_at operation' -a 'list get wait watch cancel'
complete -c cvmctl -n '__cvmctl_at host' -a 'get maintenance stop-guests check events'
complete -c cvmctl -n '__cvmctl_at volume' -a 'list get delete'
complete -c cvmctl -n '__cvmctl_at volume get delete' -a '(__cvmctl_ids volume)'
complete -c cvmctl -n '__cvmctl_at volume list' -l owner -x -d "Only this owner's"
complete -c cvmctl -n '__cvmctl_at volume delete' -l etag -x -d 'Only with this etag'
complete -c cvmctl -n '__cvmctl_at host maintenance' -a 'on off'
complete -c cvmctl -n '__cvmctl_at host maintenance' -l reason -x -d Why
complete -c cvmctl -n '__cvmctl_at host stop-guests' -l budget -x -d 'For all together'
complete -c cvmctl -n '__cvmctl_at completion' -a 'bash zsh fish'

# What all commands that change something take.
for at in 'image import delete' 'host maintenance stop-guests check' 'volume delete' 'instance create update start stop reboot resize reinstall rescue unrescue adopt delete restore' 'operation cancel'
    complete -c cvmctl -n "__cvmctl_at $at" -l request-id -x -d 'Name of this request'
    complete -c cvmctl -n "__cvmctl_at $at" -l dry-run -d 'Check everything, do nothing'
    complete -c cvmctl -n "__cvmctl_at $at" -l wait -d 'Wait for the end and show the progress'
end
complete -c cvmctl -n '__cvmctl_at image get delete' -a '(__cvmctl_ids image)'
complete -c cvmctl -n '__cvmctl_at instance get update start stop reboot resize reinstall rescue unrescue delete restore serial screenshot' \
    -a '(__cvmctl_ids instance)'
complete -c cvmctl -n '__cvmctl_at operation get wait watch cancel' -a '(__cvmctl_ids operation)'
complete -c cvmctl -n '__cvmctl_at image delete' -l etag -x -d 'Only with this etag'
complete -c cvmctl -n '__cvmctl_at instance update delete' -l etag -x -d 'Only with this etag'

complete -c cvmctl -n '__cvmctl_at image import' -F
complete -c cvmctl -n '__cvmctl_at image import' -l name -x -d 'Name for people'
complete -c cvmctl -n '__cvmctl_at image import' -l format -x -a 'qcow2 raw' -d 'Format of the file'
complete -c cvmctl -n '__cvmctl_at image import' -l id -x -d 'Id for the image'
complete -c cvmctl -n '__cvmctl_at image import' -l os -x -a 'linux windows' -d 'Operating system'
complete -c cvmctl -n '__cvmctl_at image import' -l firmware -x -a 'bios uefi' -d Firmware
complete -c cvmctl -n '__cvmctl_at image import' -l machine -x -a 'q35 pc' -d 'Main board'
complete -c cvmctl -n '__cvmctl_at image import' -l cdrom-bus -x -a 'scsi sata ide' -d 'CD-ROM bus'
complete -c cvmctl -n '__cvmctl_at image import' -l default-user -x -d 'Account for keys'
complete -c cvmctl -n '__cvmctl_at image import' -l sha256 -x -d 'Checksum'
complete -c cvmctl -n '__cvmctl_at image import' -l owner -x -d 'Free text'
complete -c cvmctl -n '__cvmctl_at image import' -l import-dir -r -F -d 'Import folder of the agent'

complete -c cvmctl -n '__cvmctl_at instance create' -l name -x -d 'Name for people'
complete -c cvmctl -n '__cvmctl_at instance create' -l image -x -a '(__cvmctl_ids image)' -d Image
complete -c cvmctl -n '__cvmctl_at instance create' -l vcpus -x -d 'Virtual processors'
complete -c cvmctl -n '__cvmctl_at instance create' -l memory -x -d Memory
complete -c cvmctl -n '__cvmctl_at instance create' -l max-vcpus -x -d 'What it can be grown to'
complete -c cvmctl -n '__cvmctl_at instance create' -l max-memory -x -d 'What it can be grown to'
complete -c cvmctl -n '__cvmctl_at instance create' -l disk -x -d 'System disk'
complete -c cvmctl -n '__cvmctl_at instance create' -l data-disk -x -d 'A data disk'
complete -c cvmctl -n '__cvmctl_at instance create' -l nic -x -d 'A network interface'
complete -c cvmctl -n '__cvmctl_at instance create' -l host-name -x -d 'Name of the guest'
complete -c cvmctl -n '__cvmctl_at instance create' -l ssh-key -r -F -d 'Public key'
complete -c cvmctl -n '__cvmctl_at instance create' -l password-hash-file -r -F -d 'Password hash'
complete -c cvmctl -n '__cvmctl_at instance create' -l password-prompt -d 'Ask for a password'
complete -c cvmctl -n '__cvmctl_at instance create' -l user-data -r -F -d 'For cloud-init'
complete -c cvmctl -n '__cvmctl_at instance create' -l tag -x -d 'A tag'
complete -c cvmctl -n '__cvmctl_at instance create' -l description -x -d Description
complete -c cvmctl -n '__cvmctl_at instance create' -l owner -x -d 'Free text'
complete -c cvmctl -n '__cvmctl_at instance create' -l id -x -d 'Id for the instance'
complete -c cvmctl -n '__cvmctl_at instance create' -l protect -d 'Refuse to delete it'
complete -c cvmctl -n '__cvmctl_at instance create' -l no-start -d 'Do not start it'

complete -c cvmctl -n '__cvmctl_at instance update' -l name -x -d 'Name for people'
complete -c cvmctl -n '__cvmctl_at instance update' -l description -x -d Description
complete -c cvmctl -n '__cvmctl_at instance update' -l tag -x -d 'A tag; replaces all there are'
complete -c cvmctl -n '__cvmctl_at instance update' -l owner -x -d 'Free text'
complete -c cvmctl -n '__cvmctl_at instance update' -l user-data -r -F -d 'For cloud-init'
complete -c cvmctl -n '__cvmctl_at instance update' -l protect -d 'Refuse to delete it'
complete -c cvmctl -n '__cvmctl_at instance update' -l unprotect -d 'Allow to delete it'
complete -c cvmctl -n '__cvmctl_at instance update' -l clear -x \
    -a 'description tags owner user-data' -d 'Empty it'

complete -c cvmctl -n '__cvmctl_at instance list' -l owner -x -d "Only this owner's"
complete -c cvmctl -n '__cvmctl_at instance stop reboot' -l mode -x -a 'soft hard soft-first' -d How
complete -c cvmctl -n '__cvmctl_at instance stop reboot' -l soft-timeout -x -d 'Time for the guest'
complete -c cvmctl -n '__cvmctl_at instance resize' -l vcpus -x -d 'Virtual processors'
complete -c cvmctl -n '__cvmctl_at instance resize' -l memory -x -d Memory
complete -c cvmctl -n '__cvmctl_at instance resize' -l online -d 'Change the running guest'
complete -c cvmctl -n '__cvmctl_at instance resize' -l guest-timeout -x -d 'How long the guest may take'
complete -c cvmctl -n '__cvmctl_at instance resize reinstall rescue' -l force-stop -d 'Cut the power first'
complete -c cvmctl -n '__cvmctl_at instance reinstall' -l image -x -a '(__cvmctl_ids image)' -d Image
complete -c cvmctl -n '__cvmctl_at instance reinstall' -l disk -x -d 'System disk'
complete -c cvmctl -n '__cvmctl_at instance reinstall rescue' -l ssh-key -r -F -d 'Public key'
complete -c cvmctl -n '__cvmctl_at instance reinstall rescue' -l password-hash-file -r -F -d 'Password hash'
complete -c cvmctl -n '__cvmctl_at instance reinstall rescue' -l password-prompt -d 'Ask for a password'
complete -c cvmctl -n '__cvmctl_at instance reinstall' -l keep-image-login -d 'Set neither keys nor password'
complete -c cvmctl -n '__cvmctl_at instance delete' -l keep -x -d 'Keep as a volume'
complete -c cvmctl -n '__cvmctl_at instance delete' -l recycle -x -d 'Time to restore it'
complete -c cvmctl -n '__cvmctl_at instance watch' -l json -d 'JSON, an object per line'
complete -c cvmctl -n '__cvmctl_at instance watch serial' -l duration -x -d 'End after this long'
complete -c cvmctl -n '__cvmctl_at instance serial' -l log -x -d 'Bytes of the past'
complete -c cvmctl -n '__cvmctl_at instance serial' -l take-over -d 'End another session'
complete -c cvmctl -n '__cvmctl_at instance serial' -l read-only -d 'Send nothing'
complete -c cvmctl -n '__cvmctl_at instance screenshot' -s f -l file -r -F -d 'Where to'
complete -c cvmctl -n '__cvmctl_at instance screenshot' -l force -d 'Overwrite the file'
complete -c cvmctl -n '__cvmctl_at operation list' -l target -x -d 'Only on this one'
complete -c cvmctl -n '__cvmctl_at operation list' -l unfinished -d 'Only what has not ended'
complete -c cvmctl -n '__cvmctl_at operation list' -l limit -x -d 'At most this many'
complete -c cvmctl -n '__cvmctl_at instance adopt' -l id -x -d 'Id for the instance'
complete -c cvmctl -n '__cvmctl_at instance adopt' -l owner -x -d 'Free text'
complete -c cvmctl -n '__cvmctl_at host check' -l repair -d 'Remove what nobody owns'
complete -c cvmctl -n '__cvmctl_at host check' -l kind -x -d 'Only this kind' \
    -a 'orphaned-disk lost-disk orphaned-instance-folder orphaned-iso partial-image orphaned-image orphaned-tap domain-missing domain-transient definition-drift'
complete -c cvmctl -n '__cvmctl_at host events' -l duration -x -d 'End after this long'
