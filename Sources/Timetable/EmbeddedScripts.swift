/// What a private cluster needs of a shell, sh(1). Values come as arguments, never in the text.
enum EmbeddedScripts {
    /// Opens `$1` (the socket's folder) and `$2` (the cluster) as descriptors 8 and 9 with our own
    /// rights, then becomes, through setpriv(1), a program with those of the server's user.
    ///
    /// From there on `/proc/self/fd/9` is the cluster for the server and everything it starts,
    /// wherever it lies and whoever may enter the directories above. The working directory would
    /// do as well, if PostgreSQL up to 15 did not return to it by its path when it starts.
    static let enter = """
        exec 8<"$1" 9<"$2" || exit 1
        shift 2
        cd /
        exec setpriv "$@"
        """

    /// `$1`: the folder of the programs.
    static let initialize = """
        umask 077
        locale=C.UTF-8
        locale -a 2>/dev/null | grep -qix 'c\\.utf-\\{0,1\\}8' || locale=C
        exec "$1/initdb" --pgdata=/proc/self/fd/9 --username=postgres --auth=peer \\
            --encoding=UTF8 --locale="$locale" --lc-messages=C --data-checksums
        """

    /// Nobody logs in but through the socket, and by the name that the kernel tells.
    static let configure = """
        umask 077
        printf '%s\\n' '# By carillon serve --embedded; who may log in as whom: pg_ident.conf.' \\
            'local all all peer map=carillon' \\
            'local replication all peer map=carillon' >/proc/self/fd/9/pg_hba.conf &&
            sync /proc/self/fd/9/pg_hba.conf
        """

    /// Stops a server that an earlier life left running, tells its process on stdout, and removes
    /// what a dead one left: with its number in use again, it would keep the next from starting.
    ///
    /// A server is known by its working directory, which is its cluster: a process number alone
    /// may be anybody's by now.
    static let reclaim = """
        cluster=/proc/self/fd/9
        is_server() {
            [ "$1/cwd" -ef "$cluster" ] && read -r name <"$1/comm" && [ "$name" = postgres ]
        }
        any_server() {
            for process in /proc/[0-9]*; do
                is_server "$process" && return 0
            done
            return 1
        }
        exec 2>/dev/null
        [ -e "$cluster/postmaster.pid" ] || exit 0
        pid=
        read -r pid <"$cluster/postmaster.pid"
        case $pid in '' | *[!0-9]*) pid=0 ;; esac
        if any_server; then
            echo "$pid"
            is_server "/proc/$pid" && kill -INT "$pid"
            looks=0
            while any_server; do
                looks=$((looks + 1))
                [ "$looks" -lt 600 ] || exit 1
                sleep 0.1
            done
        fi
        # One that we may not look at could be the server: then PostgreSQL itself has to say no.
        process=/proc/$pid
        if [ -d "$process" ] && ! [ -e "$process/cwd" ] && grep -q . "$process/cmdline"; then
            read -r name <"$process/comm" && [ "$name" = postgres ] && exit 0
        fi
        rm -f "$cluster/postmaster.pid" /proc/self/fd/8/.s.PGSQL.5432 \\
            /proc/self/fd/8/.s.PGSQL.5432.lock
        """

    /// `$1`: the folder of the programs; `$2`: lines that pg_ident.conf must have; then options.
    static let serve = """
        umask 077
        programs=$1
        map=/proc/self/fd/9/pg_ident.conf
        printf '%s\\n' "$2" | while IFS= read -r line; do
            grep -qxF -- "$line" "$map" || printf '%s\\n' "$line" >>"$map"
        done
        shift 2
        exec "$programs/postgres" -D /proc/self/fd/9 "$@"
        """
}
