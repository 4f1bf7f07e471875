# Completion of asr for PowerShell; made by: asr completion powershell

Register-ArgumentCompleter -Native -CommandName 'asr' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object {
            if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value }
            else { $_.Extent.Text }
        })
    $command = $words[0]
    $before = @($words | Select-Object -Skip 1)
    $typed = $wordToComplete.Trim('"', "'")
    # Where arguments are passed in the old way, an empty one is lost unless it carries quotes.
    if ($typed -eq '' -and $PSNativeCommandArgumentPassing -notin 'Standard', 'Windows') {
        $lines = @(& $command __complete -- @before '""' 2>$null)
    } else {
        $lines = @(& $command __complete -- @before $typed 2>$null)
    }

    if ($lines.Count -eq 0) { return '' }
    if ($lines[0] -in ':files', ':directories') {
        $equals = if ($typed.StartsWith('--')) { $typed.IndexOf('=') + 1 } else { 0 }
        $kept = $typed.Substring(0, $equals)
        $found = [System.Management.Automation.CompletionCompleters]::CompleteFilename(
            $typed.Substring($equals))
        if ($lines[0] -eq ':directories') {
            $found = $found | Where-Object { $_.ResultType -eq 'ProviderContainer' }
        }
        return $found | ForEach-Object {
            [System.Management.Automation.CompletionResult]::new(
                $kept + $_.CompletionText, $_.ListItemText, $_.ResultType, $_.ToolTip)
        }
    }

    foreach ($line in $lines) {
        $value, $description = $line -split "`t", 2
        if (-not $description) { $description = $value }
        $text = $value
        # There are more characters than the ASCII quote that end a quoted string.
        if ($value -match '[^a-zA-Z0-9_\-./:=+]') {
            $escaped = [System.Management.Automation.Language.CodeGeneration]::EscapeSingleQuotedStringContent($value)
            $text = "'" + $escaped + "'"
        }
        [System.Management.Automation.CompletionResult]::new(
            $text, $value, 'ParameterValue', $description)
    }
}
