# The shell between us and the server holds our pipe: when it closes, because we closed it or because we were killed,
# the server is killed too. It keeps its state in memory, so there is nothing that it should have saved.
umask 077
exec 3<&0
"$@" >>"$SERVER_LOG" 2>&1 </dev/null 3<&- &
pid=$!
echo "$pid"
{ cat <&3; kill -9 "$pid"; } >/dev/null 2>&1 &
exec >/dev/null
wait "$pid"
