# shellcheck shell=sh
# Cancellation of a run in any of its phases: the file `<run>/cancelled`, for each runner that follows it now or later.
#
# `cancel` writes it first, and then searches for attempts and for a tombstone. A starter makes its folder first and then
# checks for this file; `discard` writes its tombstone first. So one of the two always sees the other.

is_cancelled() { # true if the run was cancelled
	[ "$run" != none ] && [ -e "$runs/$run/cancelled" ]
}

unless_cancelled() { # ends the request if the run was cancelled
	if is_cancelled; then refuse cancelled "$run was cancelled"; fi
}

end_if_cancelled() { # for the supervisor, which has just acquired the attempt
	if is_cancelled; then
		note_stop cancelled
		stopping=1
	fi
}

cancel() { # the request: no attempt or check starts from here on, no other verdict counts, and running ones are ended
	received
	[ -d "$runs/$run/attempts" ] || refuse gone "there is no $run here"
	# On a full disk there may be room for a name, and none for a file.
	unwritten=
	is_cancelled || { true >"$runs/$run/cancelled" || ln "$runs/$run/claims/1" "$runs/$run/cancelled"; } 2>/dev/null ||
		is_cancelled || unwritten=1
	if is_discarded "$run" || [ ! -d "$runs/$run/attempts" ]; then
		withdraw_if_discarded
		refuse gone "there is no $run here any more"
	fi
	for dir in "$runs/$run/attempts/"[0-9]*; do
		if [ ! -d "$dir" ] || [ -e "$dir/exit" ]; then continue; fi
		# An attempt from before the host's reboot has no process left.
		if ! held "$dir" && ! elsewhere "$dir" && [ "$at_boot" != "$boot_id" ]; then continue; fi
		attempt=${dir##*/}
		cd "$dir" 2>/dev/null || continue
		end_attempt cancelled
	done
	[ -z "$unwritten" ] || refuse disk "no room, or no right to write, in $runs/$run"
	say cancelled
}
