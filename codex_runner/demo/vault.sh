# This shell between the runner and the server reads the runner's pipe. When the pipe closes, because the runner closed
# it or was killed, this kills the server. The server's state is in memory, so it has nothing to save.
umask 077
exec 3<&0
"$@" >>"$SERVER_LOG" 2>&1 </dev/null 3<&- &
pid=$!
echo "$pid"
(
	while read -r _; do :; done <&3
	kill -9 "$pid"
) >/dev/null 2>&1 &
watching=$!
exec >/dev/null
wait "$pid"
kill -9 "$watching" 2>/dev/null # the server may have ended by itself: later, its pid is another process's
