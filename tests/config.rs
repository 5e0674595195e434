// SPDX-License-Identifier: Apache-2.0

//! The command against whole files: what is sound, what is said of what is not, and what is rendered.
//!
//! `tests/fixtures/configs/{invalid,warned}/*.yaml` each have a `.err` beside them with the exact words of the command.
//! What is checked in under `envoy/` is compared byte for byte with what the command makes now. `UPDATE_GOLDEN=1`
//! writes both anew.

#![cfg(not(target_family = "wasm"))]
#![expect(
    clippy::disallowed_methods,
    reason = "these tests read and write the checked-in files"
)]
#![expect(clippy::unwrap_used, reason = "a test file is a test, its functions included")]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Exit code, standard output, standard error.
fn tollgate(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = ["tollgate"].into_iter().chain(arguments.iter().copied());
    let code = tollgate::command::run(all, &mut out, &mut err);
    (
        code,
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

fn configs(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new("tests/fixtures/configs").join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn compare(path: &Path, found: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let differs = found
        .lines()
        .zip(expected.lines())
        .position(|(found, expected)| found != expected);
    let line = differs.map_or_else(|| "the end".to_owned(), |line| format!("line {}", line + 1));
    assert!(
        found == expected,
        "{} differs at {line}: run with UPDATE_GOLDEN=1 if this is meant",
        path.display()
    );
}

#[test]
fn a_sound_file_passes_and_is_rendered() {
    for path in configs("valid") {
        let path = path.to_str().unwrap();
        let (code, out, err) = tollgate(&["check", path]);
        assert_eq!((code, err.as_str()), (0, ""), "{path}");
        assert!(out.contains("sound"), "{path}: {out}");
        for command in [["render", "envoy"], ["render", "plugin"]] {
            let (code, out, err) = tollgate(&[command[0], command[1], path]);
            assert_eq!((code, err.as_str()), (0, ""), "{path}");
            assert!(!out.is_empty());
        }
    }
}

#[test]
fn every_fault_of_a_file_is_told_with_its_line() {
    for path in configs("invalid") {
        let (code, out, err) = tollgate(&["check", path.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (1, ""), "{}", path.display());
        assert!(!err.contains("s3cr3t"), "{err}");
        compare(
            &path.with_extension("err"),
            &err.replace("tests/fixtures/configs/invalid/", ""),
        );
    }
}

#[test]
fn what_is_most_likely_not_meant_is_a_warning_and_a_fault_where_that_is_asked_for() {
    for path in configs("warned") {
        let shown = |err: &str| err.replace("tests/fixtures/configs/warned/", "");
        let file = path.to_str().unwrap();
        let (code, out, err) = tollgate(&["check", file]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("sound (1 model, 2 providers, 1 limit)"), "{out}");
        compare(&path.with_extension("err"), &shown(&err));
        let (code, out, strict) = tollgate(&["check", "--strict", file]);
        assert_eq!((code, out.as_str()), (1, ""));
        let (lines, count) = strict.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(format!("{lines}\n"), err.replace("warning: ", ""));
        assert_eq!(count, format!("{} faults found", err.lines().count()));
        let (code, _, again) = tollgate(&["render", "envoy", file]);
        assert_eq!((code, again), (0, err));
    }
}

#[test]
fn a_header_that_any_client_could_send_is_not_believed_unawares() {
    let file = "tests/e2e/trusted.yaml";
    assert_eq!(tollgate(&["check", file]).0, 0);
    assert_eq!(tollgate(&["render", "plugin", file]).0, 0);
    let (code, out, err) = tollgate(&["render", "envoy", file]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("identity.trusted.header: expected something before the filter"),
        "{err}"
    );
    let (code, _, err) = tollgate(&["render", "envoy", "--trusted-header-is-set-before", file]);
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn what_one_filter_in_both_seats_cannot_do_is_told() {
    let file = "tests/fixtures/configs/valid/every-key.yaml";
    let (code, out, err) = tollgate(&["render", "plugin", "--seat", "both", file]);
    assert_eq!((code, out.as_str()), (1, ""));
    for provider in ["openai", "anthropic", "bedrock-by-key", "by-token"] {
        assert!(
            err.contains(&format!(
                "providers.{provider}.credential: expected a credential by `env`"
            )),
            "{provider}: {err}"
        );
    }
    for warning in [
        "providers.bedrock: put Envoy's filter aws_request_signing behind this one, for the service `bedrock` in `us-east-1`",
        "providers.vertex.credential: make a cluster `token/vertex`, from which the access token is fetched",
        "models[2].targets[2].priority: this target is never tried",
        "identity.jwt[1]: make a cluster `issuer/discovered.example.com:443`",
    ] {
        assert!(err.contains(&format!("warning: {warning}")), "{warning}: {err}");
    }
    assert!(err.ends_with("4 faults found\n"), "{err}");
    let warned = "tests/e2e/aws.yaml";
    let (code, out, err) = tollgate(&["render", "plugin", "--seat", "both", warned]);
    assert!(code == 0 && !out.is_empty() && err.contains("warning: "), "{err}");
}

#[test]
fn the_checked_in_bootstrap_is_what_the_command_renders() {
    let (code, out, err) = tollgate(&["render", "envoy"]);
    assert_eq!((code, err.as_str()), (0, ""));
    compare(Path::new("envoy/envoy.yaml"), &out);
}

#[test]
fn the_checked_in_schema_is_the_schema_of_the_types() {
    let (code, out, _) = tollgate(&["schema"]);
    assert_eq!(code, 0);
    compare(Path::new("envoy/gateway.schema.json"), &out);
}

#[test]
fn requests_to_aws_are_signed_after_they_are_written_unless_there_is_a_key() {
    let (_, out, _) = tollgate(&["render", "envoy", "tests/fixtures/configs/valid/every-key.yaml"]);
    let clusters = out.split("typed_extension_protocol_options:").skip(1);
    let signed: Vec<&str> = clusters
        .filter(|cluster| cluster.contains("AwsRequestSigning"))
        .collect();
    let expected = [
        ("bedrock", "us-east-1", "root_id: provider/bedrock\n"),
        ("sagemaker", "eu-west-1", "root_id: provider/sagemaker\n"),
    ];
    assert_eq!(signed.len(), expected.len());
    for (cluster, (service, region, seat)) in signed.iter().zip(expected) {
        let place = |words: &str| cluster.find(words).unwrap_or_else(|| panic!("{words}"));
        let signing = place(&format!("service_name: {service}\n"));
        assert!(cluster.contains(&format!("region: {region}\n")));
        assert!(place(seat) < signing && signing < place("upstream_codec"));
    }
}

#[test]
fn no_secret_file_reaches_the_filter_and_every_target_has_its_cluster() {
    let (_, out, _) = tollgate(&["render", "envoy", "tests/fixtures/configs/valid/every-key.yaml"]);
    for expected in [
        "- name: openai.2\n",
        "root_id: provider/openai.2\n",
        "retriable_status_codes: [529]",
        "num_retries: 2\n",
        "timeout: 900s\n",
        "connect_timeout: 1.500s\n",
        "header: x-api-key",
        "header_value_prefix: \"Bearer \"",
        "san_type: IP_ADDRESS",
        "{filename: /etc/tollgate/openai.key}",
        "host_env_keys: [MISTRAL_API_KEY, MISTRAL_KEY_OF_SEARCH]",
        "- name: \"issuer/discovered.example.com:443\"\n",
        "- name: \"issuer/192.0.2.7:8080\"\n",
        "sni: discovered.example.com\n",
        "- name: token/by-token\n",
        "uri: \"https://login.example.com/token\"",
        "{filename: /etc/tollgate/client-secret}",
        "scopes: [llm.read, llm.write]",
    ] {
        assert!(out.contains(expected), "{expected}");
    }
    assert!(
        !out.contains("issuer/mesh.example.com") && !out.contains("- name: outbound"),
        "a cluster of one's own is not rendered"
    );
    let vms: Vec<&str> = out
        .split("vm_config:")
        .skip(1)
        .map(|rest| rest.split("failure_policy").next().unwrap())
        .collect();
    let words = |vm: &str| vm.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(vms.len(), 12, "the gateway seat and eleven clusters");
    assert!(
        vms.iter().all(|vm| words(vm) == words(vms[0])),
        "all seats share one VM"
    );
}

#[test]
fn secrets_are_described_beside_what_is_rendered_so_that_envoy_watches_them() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("secrets");
    fs::create_dir_all(&folder).unwrap();
    let out = folder.join("envoy.yaml");
    let out = out.to_str().unwrap();
    let file = "tests/fixtures/configs/valid/every-key.yaml";
    for (more, shown) in [
        (vec![], folder.to_str().unwrap()),
        (vec!["--secrets", "/etc/envoy"], "/etc/envoy"),
    ] {
        let arguments = [vec!["render", "envoy", file, "-o", out], more].concat();
        let (code, _, err) = tollgate(&arguments);
        assert_eq!(code, 0, "{err}");
        let text = fs::read_to_string(out).unwrap();
        assert!(text.contains(&format!("{shown}/secret-by-token.yaml")), "{text}");
        assert!(!text.contains("\n  secrets:"), "nothing is read once only");
        let secret = fs::read_to_string(folder.join("secret-by-token.yaml")).unwrap();
        assert!(secret.contains("credential/by-token") && secret.contains("/etc/tollgate/client-secret"));
    }
    let bad = "providers.by-token.credential.oauth2.token_url=ftp://a";
    let (code, _, err) = tollgate(&["check", file, "--set", bad]);
    assert!(
        code == 1 && err.contains("providers.by-token.credential.oauth2.token_url: expected"),
        "{err}"
    );
}

#[test]
fn a_setting_is_seen_in_what_is_rendered() {
    let set = "providers.openai.endpoint=http://127.0.0.1:9001/v1";
    let (code, out, _) = tollgate(&["render", "envoy", "--wasm", "/etc/tollgate.wasm", "--set", set]);
    assert_eq!(code, 0);
    assert!(out.contains("port_value: 9001") && out.contains("{filename: /etc/tollgate.wasm}"));
    assert!(!out.contains("api.openai.com"));
    let (code, _, err) = tollgate(&["check", "--set", "listener.port=many"]);
    assert_eq!(code, 1);
    assert!(
        err.starts_with(
            "--set listener.port: listener.port: expected a whole number from 0 to 65535, found string \"many\""
        ),
        "{err}"
    );
    let (_, _, err) = tollgate(&["check", "--set", "models[4].name=a"]);
    assert!(
        err.starts_with("--set models[4]: models[4]: missing key `targets`"),
        "{err}"
    );
    let (code, _, err) = tollgate(&["check", "--set", "providers.openai.credential={a: s3cr3t"]);
    assert!(
        code == 2 && err.contains("`providers.openai.credential=…`") && !err.contains("s3cr3t"),
        "{err}"
    );
}

#[test]
fn the_plugin_configuration_is_read_by_the_filter() {
    for seat in ["gateway", "both"] {
        let (code, out, _) = tollgate(&["render", "plugin", "--seat", seat]);
        assert_eq!(code, 0);
        let config: Result<tollgate::config::PluginConfig, _> = tollgate::config::load::from_json(&out);
        assert!(
            config.is_ok() && out.contains(&format!("\"seat\": \"{seat}\"")),
            "{seat}"
        );
    }
}

#[test]
fn the_configuration_of_a_provider_seat_is_the_one_that_is_rendered_for_its_cluster() {
    let file = "tests/fixtures/configs/valid/every-key.yaml";
    let plugin = ["render", "plugin", file, "--seat", "provider"];
    let (_, bootstrap, _) = tollgate(&["render", "envoy", file]);
    let indented = |text: &str| text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    let bootstrap = indented(&bootstrap);
    for cluster in ["openai.2", "bedrock"] {
        let (code, out, err) = tollgate(&[&plugin[..], &["--cluster", cluster]].concat());
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains(&format!("\"cluster\": \"{cluster}\"")));
        assert!(bootstrap.contains(&indented(&out)), "{cluster}: {out}");
    }
    for (more, says) in [
        (
            vec!["--cluster", "nowhere"],
            "no route uses a cluster `nowhere`; there are: ",
        ),
        (vec![], "the provider seat needs --cluster NAME"),
    ] {
        let (code, _, err) = tollgate(&[plugin.to_vec(), more].concat());
        assert!(code == 2 && err.contains(says), "{err}");
    }
    let (code, _, err) = tollgate(&["render", "plugin", file, "--cluster", "openai"]);
    assert!(
        code == 2 && err.contains("--cluster goes with --seat provider"),
        "{err}"
    );
}

#[test]
fn a_new_key_is_shown_once_with_its_entry() {
    let arguments = [
        "key",
        "new",
        "--consumer",
        "ci: nightly",
        "--name",
        "ci",
        "--expires",
        "2027-01-31",
    ];
    let (code, out, err) = tollgate(&arguments);
    assert_eq!((code, err.as_str()), (0, ""));
    let key = out.lines().next().unwrap();
    assert!(key.starts_with("tgk_") && key.len() == 53, "{out}");
    let entry = out.split("gateway.yaml:\n").nth(1).unwrap();
    let digest = tollgate::policy::auth::digest_of_api_key(key);
    assert_eq!(
        entry,
        format!(
            "  - sha256: {digest}\n    consumer: \"ci: nightly\"\n    name: \"ci\"\n    expires: \"2027-01-31\"\n"
        )
    );
    for wrong in [["--expires", "2020-01-01"], ["--consumer", ""]] {
        let (code, out, err) = tollgate(&["key", "new", wrong[0], wrong[1]]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains(&format!("{}: expected", wrong[0])), "{err}");
    }
    let (_, again, _) = tollgate(&arguments);
    assert_ne!(again, out, "no two keys are the same");
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("key.yaml");
    let text = fs::read_to_string("tests/fixtures/configs/valid/smallest.yaml").unwrap();
    let identity = format!("identity:\n  api_keys:\n{entry}");
    let kept = text.split("identity:").next().unwrap();
    fs::write(&file, format!("{kept}{identity}")).unwrap();
    let (code, _, err) = tollgate(&["check", file.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) = tollgate(&["key", "new", "--expires", "tomorrow"]);
    assert_eq!(code, 2);
    assert!(err.contains("2027-01-31"), "{err}");
}

#[test]
fn what_cannot_be_looked_at_exits_with_2_and_says_what_to_do() {
    for (arguments, says) in [
        (vec!["check", "nowhere.yaml"], "name an existing file"),
        (vec!["check", "--set", "nothing"], "expected --set key.path=value"),
        (
            vec!["render", "envoy", "-o", "no/such/folder/x"],
            "name a file in a folder that exists",
        ),
        (vec!["chek"], "check"),
        (vec![], "Usage"),
    ] {
        let (code, out, err) = tollgate(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}
