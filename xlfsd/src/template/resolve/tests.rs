use uuid::Uuid;

use super::*;

const GUEST: GuestFacts<'static> = GuestFacts { name: "web", uuid: Uuid::nil() };

fn template() -> Template {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("sample");
    std::fs::create_dir(&dir).unwrap();
    let manifest = r#"
        name = "sample"
        version = "1"
        summary = "For tests"
        [image]
        kernel = "k"
        command_line = "x.host=${hostname} x.banner=${banner} x.note=${note} x.n=${count}"
        [parameters.hostname]
        type = "hostname"
        default = "${guest.name}.example.org"
        [parameters.banner]
        type = "string"
        [parameters.note]
        type = "string"
        [parameters.count]
        type = "integer"
        required = true
        description = "how many"
        [parameters.password]
        type = "string"
        secret = true
        [parameters.token]
        type = "secret"
        length = 32
    "#;
    std::fs::write(dir.join("template.toml"), manifest).unwrap();
    Template::read(&dir).unwrap()
}

fn validate(given: &[(&str, &str)]) -> Result<ResolvedParams, Problem> {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    template().validate(&given.collect(), &GUEST)
}

#[test]
fn defaults_facts_and_values_come_together() {
    let resolved = validate(&[("count", " 3"), ("banner", "hello you")]).unwrap();
    assert_eq!(resolved.command_line, "x.host=web.example.org x.banner=\"hello you\" x.n=3");
    assert_eq!(resolved.values["count"], "3");
    assert!(!resolved.values.contains_key("note"));
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let problem = validate(&[
        ("hostname", "not a host"),
        ("bannr", "x"),
        ("banner", "a\"b"),
        ("note", "a\nb"),
    ])
    .unwrap_err();
    let fields: Vec<_> = problem.fields().iter().map(|wrong| wrong.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "parameters.bannr",
            "parameters.banner",
            "parameters.count",
            "parameters.hostname",
            "parameters.note"
        ]
    );
    assert!(problem.fields()[0].description.contains("(did you mean \"banner\"?)"));
    assert_eq!(problem.fields()[2].description, "is required: how many");
    assert_eq!(problem.object.as_deref(), Some("domain web"));
}

#[test]
fn the_line_may_have_1023_bytes_and_no_more() {
    let bare = validate(&[("count", "1"), ("banner", "")]).unwrap().command_line.len();
    let fitting = "x".repeat(MAX_COMMAND_LINE - bare);
    let resolved = validate(&[("count", "1"), ("banner", &fitting)]).unwrap();
    assert_eq!(resolved.command_line.len(), MAX_COMMAND_LINE);
    let problem = validate(&[("count", "1"), ("banner", &format!("{fitting}x"))]).unwrap_err();
    assert_eq!(problem.fields()[0].field, "parameters.banner");
    assert!(problem.fields()[0].description.contains("1 over the limit of 1023"));
}

#[test]
fn secrets_are_not_shown() {
    let resolved = validate(&[("count", "1"), ("password", "hunter2\"")]).unwrap();
    assert_eq!(resolved.values["password"], "hunter2\"");
    assert!(!resolved.shown().contains_key("password"));
    assert_eq!(resolved.secrets(), ["password", "token"]);
    assert!(!format!("{resolved:?}").contains("hunter2"));
    let recorded = resolved.recorded();
    assert_eq!(recorded["password"], SECRET_MARKER);
    assert_eq!(recorded["token"], SECRET_MARKER);
    assert_eq!(recorded["count"], "1");
}

#[test]
fn a_secret_that_is_not_given_is_made_and_told() {
    let resolved = validate(&[("count", "1")]).unwrap();
    let made = &resolved.generated["token"];
    assert_eq!(made.len(), 32);
    assert_eq!(resolved.values["token"], *made);
    assert!(!resolved.shown().contains_key("token"));
    assert!(!format!("{resolved:?}").contains(made));
    assert_ne!(validate(&[("count", "1")]).unwrap().generated["token"], *made);
    let given = validate(&[("count", "1"), ("token", "my own")]).unwrap();
    assert_eq!(given.values["token"], "my own");
    assert!(given.generated.is_empty());
}

#[test]
fn the_shipped_template_minimal_works() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-templates/minimal");
    let template = Template::read(std::path::Path::new(dir)).unwrap();
    let resolved = template.validate(&HashMap::new(), &GUEST).unwrap();
    assert_eq!(
        resolved.command_line,
        "console=hvc0 loglevel=4 xlfs.hostname=web xlfs.banner=\"xlfs guest ready\""
    );
}

#[test]
fn the_manuals_example_works() {
    let manual = include_str!("../../../../docs/templates.md");
    let example = manual.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("greeter");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("template.toml"), example).unwrap();
    let given = HashMap::from([("greeting".to_owned(), "Hello there".to_owned())]);
    let resolved = Template::read(&dir).unwrap().validate(&given, &GUEST).unwrap();
    assert!(resolved.command_line.contains("greeter.text=\"Hello there\" greeter.times=1"));
}

#[test]
fn the_manuals_example_of_a_server_works() {
    let manual = include_str!("../../../../docs/templates.md");
    let example = manual.split("```toml\n").nth(2).unwrap().split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("server");
    std::fs::create_dir(&dir).unwrap();
    let first = "name = 'server'\nversion = '1'\nsummary = 's'\n[image]\nkernel = 'k'\n";
    std::fs::write(dir.join("template.toml"), format!("{first}{example}")).unwrap();
    std::fs::write(dir.join("10-site.sh"), "true\n").unwrap();
    let template = Template::read(&dir).unwrap();
    let resolved = template.validate(&HashMap::new(), &GUEST).unwrap();
    assert_eq!(resolved.values["site-name"], "web");
    let health = template.health[0].fill(&resolved.values, &GUEST).unwrap();
    assert_eq!(health.expect.as_deref(), Some("web"));
}
