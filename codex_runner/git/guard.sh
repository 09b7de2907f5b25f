# shellcheck shell=sh
# Keeps git from running programs that a repository names: adds three settings to those of the environment.

guard_git() {
	_n=${GIT_CONFIG_COUNT:-0}
	while :; do case $_n in 0?*) _n=${_n#0} ;; *) break ;; esac done
	case $_n in *[!0-9]*) return ;; esac # git itself refuses to work with such a count
	for _each in safe.bareRepository=explicit core.fsmonitor=false core.hooksPath=/dev/null; do
		export "GIT_CONFIG_KEY_$_n=${_each%%=*}" "GIT_CONFIG_VALUE_$_n=${_each#*=}"
		_n=$((_n + 1))
	done
	export "GIT_CONFIG_COUNT=$_n"
}
