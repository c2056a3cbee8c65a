use super::*;

fn parameter(toml: &str) -> Result<Parameter, String> {
    Parameter::new(toml::from_str(toml).map_err(|error| error.message().to_owned())?)
}

#[track_caller]
fn takes(toml: &str, good: &[(&str, &str)], bad: &[&str]) {
    let parameter = parameter(toml).unwrap();
    for (value, plain) in good {
        assert_eq!(parameter.check(value).as_deref(), Ok(*plain), "{value}");
    }
    for value in bad {
        let wrong = parameter.check(value).unwrap_err();
        assert!(wrong.starts_with("must "), "{value}: {wrong}");
    }
}

#[test]
fn each_type_takes_its_values() {
    takes("type = 'string'", &[("", ""), ("any thing", "any thing")], &[&"x".repeat(5000)]);
    takes("type = 'string'\nmin = 2\nmax = 3", &[("ää", "ää"), ("abc", "abc")], &["a", "abcd"]);
    takes("type = 'string'\npattern = 'a|bc'", &[("a", "a"), ("bc", "bc")], &["ab", "abc", ""]);
    takes(
        "type = 'integer'\nmin = 1\nmax = 10",
        &[("1", "1"), (" 10 ", "10"), ("+5", "5")],
        &["0", "11", "", "1.0", "99999999999999999999", "x"],
    );
    takes(
        "type = 'boolean'",
        &[("true", "true"), ("Yes", "true"), ("0", "false"), ("off", "false")],
        &["", "2", "maybe"],
    );
    takes(
        "type = 'hostname'",
        &[("web", "web"), ("Web-1.Example.org", "web-1.example.org")],
        &["", "-a", "a-", "a..b", ".a", "a_b", "a b", "ä", &"a".repeat(64), &"a.".repeat(33)],
    );
    takes("type = 'choice'\nchoices = ['a', 'b']", &[("a", "a")], &["A", "", "c"]);
}

#[test]
fn lists_take_several_and_tell_them_one_way() {
    takes(
        "type = 'address-list'\nmin = 1\nmax = 2",
        &[
            ("10.0.0.2/24", "10.0.0.2/24"),
            (" 10.0.0.2/24, FD00::2/64 ", "10.0.0.2/24 fd00::2/64"),
            ("10.0.0.2/24\n10.0.1.2/24\n", "10.0.0.2/24 10.0.1.2/24"),
        ],
        &[
            "",
            "10.0.0.2",
            "10.0.0.0/24",
            "10.0.0.2/24 x",
            "10.0.0.2/24 10.0.0.2/24",
            "10.0.0.2/24 10.0.0.3/24 10.0.0.4/24",
            "10.0.0.2/24;reboot",
        ],
    );
    takes(
        "type = 'ip-list'",
        &[("", ""), ("10.0.0.1", "10.0.0.1"), ("10.0.0.1,fd00::1", "10.0.0.1 fd00::1")],
        &["10.0.0.1/24", "ns.example.org", "0.0.0.0", "10.0.0.1 $(id)"],
    );
    let key = crate::value::ED25519;
    let two = format!("{key}\r\n\n{key} too\n");
    let plain = format!("{key}\n{key} too");
    let many = format!("{key} {}\n", "x".repeat(65 << 10));
    takes(
        "type = 'ssh-key-list'",
        &[("", ""), (key, key), (&two, &plain)],
        &["x", &key[..40], &format!("{key}\n{key}"), &format!("{key}\nssh-rsa AAAA"), &many],
    );
    let error = parameter("type = 'ip-list'").unwrap().check("10.0.0.1 10.0.0").unwrap_err();
    assert!(error.ends_with("(its item 2 is not)"), "{error}");
}

#[test]
fn names_and_places_are_what_they_say() {
    takes(
        "type = 'domain-name'",
        &[("Example.org.", "example.org"), ("a", "a")],
        &["", "a b", "10.0.0.1", "-a", "a_b", &"a.".repeat(128)],
    );
    takes("type = 'email'", &[("me@Example.org", "me@example.org")], &["", "me", "me@", "a b@c"]);
    takes("type = 'timezone'", &[("UTC", "UTC"), ("Etc/GMT-1", "Etc/GMT-1")], &["", "../x", "1"]);
    takes("type = 'locale'", &[("C.UTF-8", "C.UTF-8")], &["", "C UTF", "C/../x"]);
}

#[test]
fn texts_may_have_lines_and_strings_no_nul() {
    let longest = "x".repeat(64 << 10);
    takes(
        "type = 'text'",
        &[
            ("", ""),
            ("a\r\nb\n", "a\nb\n"),
            ("'$(id)\u{1f600}", "'$(id)\u{1f600}"),
            (&longest, &longest),
        ],
        &["a\0", &format!("{longest}x")],
    );
    takes("type = 'text'\nmin = 1\nmax = 3", &[("a\nb", "a\nb")], &["", "abcd"]);
    takes("type = 'string'", &[("a\nb", "a\nb")], &["a\0b"]);
}

#[test]
fn secrets_are_secret_and_only_one_of_them_is_made() {
    takes(
        "type = 'secret'\nmin = 8\nmax = 9",
        &[("pass word", "pass word"), ("ünï'\"$(a", "ünï'\"$(a")],
        &["", "short", "far too long", "pass\nword", "pass\tword"],
    );
    let hash = format!("$6$salt${}", "h".repeat(86));
    takes("type = 'password-hash'", &[(&hash, &hash)], &["", "hunter2", "$1$salt$hash"]);
    let secret = parameter("type = 'secret'").unwrap();
    assert!(secret.secret && secret.is_generated() && secret.length == 24);
    assert!(!parameter("type = 'secret'\nrequired = true").unwrap().is_generated());
    let hash = parameter("type = 'password-hash'").unwrap();
    assert!(hash.secret && !hash.is_generated());
}

#[test]
fn ranges_are_told() {
    let wrong = |toml: &str, value| parameter(toml).unwrap().check(value).unwrap_err();
    assert_eq!(wrong("type = 'integer'\nmin = 1\nmax = 9", "0"), "must be 1 to 9");
    assert_eq!(wrong("type = 'integer'\nmin = 1", "0"), "must be at least 1");
    assert_eq!(wrong("type = 'string'\nmax = 3", "abcd"), "must have at most 3 characters");
    assert_eq!(
        wrong("type = 'choice'\nchoices = ['small', 'large']", "smal"),
        "must be one of small, large (did you mean \"small\"?)"
    );
}

#[test]
fn declarations_must_make_sense() {
    for (toml, wrong) in [
        ("type = 'integer'\npattern = 'x'", "only a string has a pattern"),
        ("type = 'string'\npattern = '('", "its pattern is not valid"),
        ("type = 'boolean'\nmin = 1", "its type boolean has no min and max"),
        ("type = 'integer'\nmin = 2\nmax = 1", "its min is above its max"),
        ("type = 'choice'", "a choice needs choices"),
        ("type = 'string'\nchoices = ['x']", "only a choice has choices"),
        ("type = 'string'\nrequired = true\ndefault = 'x'", "it is required"),
        ("type = 'integer'\ndefault = 'x'", "its default must be a whole number"),
        ("type = 'integer'\nmax = 3\ndefault = 4", "its default must be at most 3"),
        ("type = 'email'\nmax = 3", "its type email has no min and max"),
        ("type = 'string'\nlength = 3", "only a secret has a length"),
        ("type = 'secret'\nlength = 11", "its length must be 12 to 128"),
        ("type = 'secret'\ndefault = 'x'", "a secret that is not given is made"),
        ("type = 'locale'\ndefault = 'x y'", "its default must be a locale"),
        ("type = 'colour'", "unknown variant `colour`"),
        ("type = 'string'\ndefault = 1.5", "a default is a string"),
    ] {
        let error = parameter(toml).unwrap_err();
        assert!(error.contains(wrong), "{toml}: {error}");
    }
    let boolean = parameter("type = 'boolean'\ndefault = true").unwrap();
    assert_eq!(boolean.default.as_deref(), Some("true"));
}
