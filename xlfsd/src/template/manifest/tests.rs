use super::*;
use crate::template::resources::MAX_VCPUS;

const GOOD: &str = r#"
name = "minimal"
version = "1"
summary = "A guest"

[image]
kernel = "minimal-kernel"
command_line = "console=hvc0 x.host=${hostname}"

[resources]
memory = "64M"

[parameters.hostname]
type = "hostname"
default = "${guest.name}"

[parameters.password]
type = "string"
secret = true
"#;

fn read(text: &str) -> Result<Template, TemplateError> {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("minimal");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join(FILE_NAME), text).unwrap();
    Template::read(&dir)
}

#[test]
fn a_good_manifest_is_taken_with_its_defaults() {
    let template = read(GOOD).unwrap();
    let resources =
        Resources { memory_mib: 64, memory_min_mib: 16, vcpus: 1, vcpus_max: MAX_VCPUS };
    assert_eq!(template.resources, resources);
    assert_eq!(template.end_policy, EndPolicy::default());
    assert_eq!(template.ramdisk, None);
    let message = template.message();
    assert_eq!(message.command_line, "console=hvc0 x.host=${hostname}");
    assert_eq!(message.parameters[0].default.as_deref(), Some("${guest.name}"));
    assert!(message.parameters[1].secret);
}

#[test]
fn what_is_wrong_is_named_with_file_and_key() {
    for (from, to, wrong) in [
        (
            "kernel =",
            "kernle =",
            "template.toml:7: unknown key \"kernle\" (did you mean \"kernel\"?)",
        ),
        ("memory =", "memmory =", "unknown key \"memmory\" (did you mean \"memory\"?)"),
        ("default =", "defautl =", "unknown key \"defautl\" (did you mean \"default\"?)"),
        ("[resources]", "[resource]", "unknown key \"resource\" (did you mean \"resources\"?)"),
        ("\"minimal\"", "\"other\"", "its name is \"other\", but its folder's name is \"minimal\""),
        ("\"64M\"", "\"8M\"", "resources.memory is less than resources.memory_min"),
        ("\"64M\"", "100", "resources.memory must be a number of whole MiB"),
        ("\"64M\"", "\"64M\"\nvcpus = 0", "resources.vcpus must be 1 to vcpus_max"),
        ("\"64M\"", "\"64M\"\nvcpus_max = 33", "resources.vcpus must be 1 to vcpus_max"),
        ("${hostname}", "${hostnam}", "no parameter \"hostnam\" (did you mean \"hostname\"?)"),
        ("${hostname}", "${password}", "the secret password must not stand there"),
        ("${guest.name}", "${guest.nam}", "parameters.hostname: its default mentions ${guest.nam}"),
        ("\"hostname\"", "\"integer\"\nmin = 3\nmax = 1", "parameters.hostname: its min is above"),
        (".hostname]", ".Hostname]", "parameters.Hostname: a parameter's name"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = read(&GOOD.replacen(from, to, 1)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(wrong) && text.contains("minimal/template.toml"), "{text}");
    }
    let error = read(&GOOD.replace("x.host=", "")).unwrap_err();
    assert!(matches!(error, TemplateError::CommandLine { .. }), "{error}");
}
