# Completion of asr for fish; made by: asr completion fish

function __asr_complete
    set -l words (commandline -opc)
    type -q -- $words[1]; or return
    set -l typed (string unescape -- (commandline -ct))
    # Of "--option=path" only the path is completed as one.
    set -l option (string match -r -- '^--[^=]*=' "$typed")
    set -l path (string replace -- "$option" '' "$typed")
    for line in ($words[1] __complete -- $words[2..-1] "$typed" 2>/dev/null)
        switch $line
            case :files
                string replace -r -- '^' "$option" (__fish_complete_path "$path")
            case :directories
                string replace -r -- '^' "$option" (__fish_complete_directories "$path")
            case '*'
                echo -- $line
        end
    end
end

complete -c asr -f -k -a '(__asr_complete)'
