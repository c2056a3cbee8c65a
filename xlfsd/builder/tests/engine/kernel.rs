//! `kernel-config` on a tree that has only a Makefile: one that drops the options
//! it does not know, as Kconfig does.

use crate::lab::Lab;

const MAKEFILE: &str = "O = .\n\
    allnoconfig:\n\t@>$(O)/.config; if [ \"$$KCONFIG_ALLCONFIG\" ]; then cp $$KCONFIG_ALLCONFIG $(O)/.config; echo '# CONFIG_POSSIBLE is not set' >>$(O)/.config; fi\n\
    tiny:\n\t@echo 'CONFIG_A=y' >$(O)/.config; echo '# CONFIG_B is not set' >>$(O)/.config\n\
    olddefconfig:\n\t@grep -v -e NOSUCH -e TOOFAR $(O)/.config | sed 's/^CONFIG_ODD=m/CONFIG_ODD=y/' >$(O)/.new; grep -q POSSIBLE $(O)/.new || echo CONFIG_POSSIBLE=y >>$(O)/.new\n\t@mv $(O)/.new $(O)/.config\n";

fn lab(fragment: &str) -> Lab {
    let lab = Lab::new();
    lab.file("kernel/one.config", "# Why one.\nCONFIG_A=y\nCONFIG_NAME=\"a b\"\n");
    lab.file("kernel/two.config", fragment);
    lab.file("linux/Makefile", MAKEFILE);
    let recipe = "name = \"linux\"\nversion = \"1\"\nlicence = \"GPL-2.0-only\"\nsummary = \"s\"\nwhy = \"w\"\n\
        strip = false\nbuild_in = \"separate\"\n[kernel]\nbase = \"tiny\"\nfragments = [\"one\", \"two\"]\n\
        [steps]\nprepare = \"cp $FILES/Makefile .\"\nconfigure = \"cd $SRC; kernel-config O=$BUILD\"\n\
        install = \"cp .config $OUT/config\"\n";
    lab.file("linux.toml", recipe);
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_come_together_in_order() {
    let lab = lab("# Why two.\n# CONFIG_SWAP is not set\nCONFIG_B=y\n");
    lab.build(&["linux"]).await.fine();
    let config = lab.text("linux", "config");
    for line in ["CONFIG_A=y", "CONFIG_NAME=\"a b\"", "CONFIG_B=y"] {
        assert!(config.lines().any(|it| it == line), "{config}");
    }
}

/// An option that one of ours makes possible gets Kconfig's default, or the base's answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_base_answers_for_the_rest_if_the_recipe_says_so() {
    let lab = lab("# Why two.\nCONFIG_B=y\n");
    let recipe = std::fs::read_to_string(lab.recipes().join("linux.toml")).unwrap();
    let base = recipe.replace("base = \"tiny\"", "base = \"allnoconfig\"");
    lab.file("linux.toml", &base);
    let possible = async || {
        lab.build(&["linux"]).await.fine();
        lab.text("linux", "config").lines().any(|line| line == "CONFIG_POSSIBLE=y")
    };
    assert!(possible().await);
    let rest = |recipe: &str| recipe.replace("[kernel]", "[kernel]\nrest = \"base\"");
    lab.file("linux.toml", &rest(&base));
    assert!(!possible().await);
    let config = lab.text("linux", "config");
    assert!(config.contains("CONFIG_A=y") && config.contains("CONFIG_B=y"), "{config}");
    // What did not stick is an error there, too.
    lab.file("kernel/two.config", "# Why two.\nCONFIG_NOSUCH=y\n");
    assert_eq!(lab.build(&["linux"]).await.failure("linux").0, "configure");

    lab.file("linux.toml", &rest(&recipe));
    let error = lab.builder().start(crate::lab::request(&["linux"])).unwrap_err().to_string();
    assert!(error.contains("kernel.rest = \"base\": needs one of these bases"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_did_not_stick_is_an_error() {
    let lab =
        lab("# Why two.\nCONFIG_NOSUCH=y\nCONFIG_TOOFAR=7\nCONFIG_ODD=m\n# CONFIG_A2 is not set\n");
    let (step, _, tail) = lab.build(&["linux"]).await.failure("linux");
    assert_eq!(step, "configure");
    let wrong: Vec<&String> = tail.iter().filter(|line| line.contains("did not stick")).collect();
    assert_eq!(wrong.len(), 3, "{tail:#?}");
    assert!(
        wrong[0].starts_with(
            "kernel-config: two: CONFIG_NOSUCH=y did not stick: the configuration has n"
        )
    );
    assert!(wrong[2].contains("CONFIG_ODD=m did not stick: the configuration has y"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_is_an_input() {
    let lab = lab("# Why two.\nCONFIG_B=y\n");
    lab.build(&["linux"]).await.fine();
    lab.file("kernel/two.config", "# Why two.\nCONFIG_B=m\n");
    let told = lab.build(&["linux"]).await.fine();
    assert_eq!(told.built(), ["linux"]);
}
