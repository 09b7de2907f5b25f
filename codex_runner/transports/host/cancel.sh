# shellcheck shell=sh
# The wish that a run end, whatever it is about: `<run>/cancelled`, for whoever follows the run now or later.
#
# It is written before attempts are looked for, and before the tombstone is. Whatever starts something makes its folder
# first and then looks here, and `discard` writes its tombstone first. So one of the two always sees the other.

wished() { # has somebody cancelled the run?
	[ "$run" != none ] && [ -e "$runs/$run/cancelled" ]
}

unless_cancelled() { # ends the request if somebody has
	if wished; then refuse cancelled "$run was cancelled"; fi
}

end_if_cancelled() { # for the supervisor, which has just taken the attempt
	if wished; then
		note_stop cancelled
		stopping=1
	fi
}

cancel() { # the request: no attempt, no check and no verdict but that one from here on, and what runs is ended
	received
	[ -d "$runs/$run/attempts" ] || refuse gone "there is no $run here"
	# On a full disk there may be room for a name, and none for a file.
	unwritten=
	wished || { true >"$runs/$run/cancelled" || ln "$runs/$run/claims/1" "$runs/$run/cancelled"; } 2>/dev/null ||
		wished || unwritten=1
	if entombed "$run" || [ ! -d "$runs/$run/attempts" ]; then
		withdraw_if_entombed
		refuse gone "there is no $run here any more"
	fi
	for dir in "$runs/$run/attempts/"[0-9]*; do
		if [ ! -d "$dir" ] || [ -e "$dir/exit" ]; then continue; fi
		# Of one that ran before the host was rebooted, nothing is left to be ended.
		if ! held "$dir" && ! elsewhere "$dir" && [ "$at_boot" != "$boot_id" ]; then continue; fi
		attempt=${dir##*/}
		cd "$dir" 2>/dev/null || continue
		end_attempt cancelled
	done
	[ -z "$unwritten" ] || refuse disk "no room, or no right to write, in $runs/$run"
	say cancelled
}
