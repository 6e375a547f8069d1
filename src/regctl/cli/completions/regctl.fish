# Completion of regctl for fish.

function __regctl_complete
    set -l line (commandline -cp)
    set -l program (commandline -po)[1]
    for candidate in (env _REGCTL_LINE="$line" $program 2>/dev/null)
        set -l parts (string split -m 2 \t -- $candidate)
        switch $parts[1]
            case file
                __fish_complete_path (commandline -ct)
            case folder
                __fish_complete_directories (commandline -ct)
            case word more
                printf '%s\t%s\n' $parts[2] $parts[3]
        end
    end
end

complete --command regctl --no-files --keep-order --arguments '(__regctl_complete)'
