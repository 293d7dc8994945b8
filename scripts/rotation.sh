# The life of a key, from its first period to the destruction of its oldest version. Read by scripts/quickstart
# --rotation, whose parts it uses.
# shellcheck shell=bash

key=eu-west-1/users

# The second person: some steps need two.
as_second() {
    claviger --quiet --address "$second_address" --admin-address "$second_address" \
        --tls-ca "$directory/second-person/ca.pem" --tls-cert "$directory/second-person/second.pem" \
        --tls-key "$directory/second-person/second.key" "$@"
}

indented() { sed 's/^/    /'; }

primary_of() { claviger -o json key show "$key" | sed -n 's/.*"primary": *\([0-9]*\).*/\1/p' | head -n 1; }

# state_of VERSION
state_of() { claviger key show "$key" | awk -v version="$1" '$1 == version { print $2 }'; }

# wait_until WHAT COMMAND...: every half second, for a minute and a half.
wait_until() {
    local what=$1 waited
    shift
    for ((waited = 0; waited < 180; waited++)); do
        ! "$@" || return 0
        sleep 0.5
    done
    fail "$what did not happen within a minute and a half"
}

is_past() { (($(primary_of) > $1)); }
is_destroyed() { [[ $(state_of 1) == destroyed ]]; }

write_campaign() {
    campaign=$work/campaign.toml
    cat > "$campaign" <<- END
		name = "users"
		key = "$key"
		mode = "rewrap"

		[[source]]
		name = "users"
		kind = "sqlite"
		path = "users.db"
		table = "users"
		key-columns = ["id"]
		envelope-column = "ssn"
		context = { table = "users", column = "ssn", row = "{id}" }
	END
}

show_rotation() {
    local before missing words status

    step "Three users, sealed under $key, version 1"
    column > /dev/null
    column > /dev/null
    column

    step "A period of 90 days: claviger key set-rotation $key --every 90d"
    note "days pass $time_scale times as fast here"
    claviger key set-rotation "$key" --every 90d > /dev/null
    claviger rotation status --under "$key" | indented
    wait_until "the rotation of $key" is_past 1
    claviger key set-rotation "$key" --never > /dev/null
    note "rotated by itself, to version $(primary_of); old rows still open, new ones are under the new version:"
    column

    step "The rows move where they are: claviger campaign run"
    write_campaign
    claviger --quiet campaign run "$campaign" | indented
    column

    step "An emergency: claviger key quarantine $key --reason misuse-suspected"
    claviger key quarantine "$key" --reason misuse-suspected --dry-run | indented
    before=$(primary_of)
    claviger --quiet key quarantine "$key" --reason misuse-suspected > /dev/null
    status=0
    "$binaries/examples/sqlite_column" "$socket" "$work/users.db" "$key" > /dev/null 2>&1 || status=$?
    ((status != 0)) || fail "rows under a quarantined version were opened"
    note "version $before is stopped: nobody opens rows under it any more, but for a campaign"
    claviger --quiet campaign run "$campaign" > /dev/null
    note "after the campaign all rows are under version $(primary_of) and open again:"
    column

    step "Version 1 is disabled, and a census says who still needs it"
    claviger --quiet key disable "$key" 1 > /dev/null
    claviger gate sql "$campaign" --version 1 --apply | indented
    claviger census "$campaign" | indented

    step "The second person gives evidence that nothing does: claviger evidence submit"
    evidence=(evidence submit "$campaign" --version 1 --attest "users.db is the only place" --backups-until "$(date -u +%FT%TZ)")
    status=0
    words=$(as_second "${evidence[@]}" 2>&1) || status=$?
    missing=$(sed -n 's/.*--missing \([0-9]*\).*/\1/p' <<< "$words" | head -n 1)
    [[ -n $missing ]] || fail "the first look ended with status $status and named no count: $words"
    as_second "${evidence[@]}" --missing "$missing" | indented

    step "The first person destroys it: claviger key destroy $key 1 --days 7"
    claviger key destroy "$key" 1 --days 7 | indented
    wait_until "the destruction of version 1" is_destroyed
    note "seven days later:"
    claviger key show "$key" | indented
    column
}
