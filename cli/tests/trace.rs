//! `tickwire trace` as a user meets it: what is on stdout, how it ends, what it says when something is wrong.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn trace(args: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    let output =
        command.arg("trace").args(args).env("TICKWIRE_LOG", "warn").stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, error)
}

/// Four frames of 901 cubes, of which the first moves.
fn cubes(name: &str) -> PathBuf {
    let mut bytes = Vec::new();
    for frame in 0..4 {
        for cube in 0..901 {
            let x = if cube == 0 { frame } else { cube };
            let values = [3, 256, 256, 256, x, 0, 35, 0];
            bytes.extend(values.iter().flat_map(|value: &i32| value.to_le_bytes()));
        }
    }
    let path = std::env::temp_dir().join(format!("tickwire-trace-cli-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn json_is_a_list_with_an_object_for_each_file() {
    let (first, second) = (cubes("first"), cubes("second"));
    let files = [first.to_str().unwrap(), second.to_str().unwrap()];
    let (output, error) = trace(&["--json", "--baseline", "ack:1", files[0], files[1]]);
    assert!(output.status.success(), "{error}");
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reports = reports.as_array().unwrap();
    assert_eq!(reports.len(), 2);
    for (report, file) in reports.iter().zip(files) {
        assert_eq!(report["file"], file);
        assert_eq!(report["verified"], true);
        assert_eq!((&report["frames"], &report["updates"]), (&Value::from(3), &Value::from(3)));
    }
    let (output, error) = trace(&files);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("verified    yes").count(), 2, "{text}");
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let cases: [(&[&str], i32, &str); 8] = [
        (&["/nowhere.bin"], 1, "cannot read /nowhere.bin: give the path of a recording"),
        (
            &["--json", manifest],
            1,
            "no recording that is known here: give one of `serve --record`, one that starts with NCTRACE2",
        ),
        (&[], 2, "FILE"),
        (&["--lattice", "fine", "x"], 2, "take exact, game, game-noang"),
        (&["--lattice", manifest, "x"], 2, "is no valid lattice"),
        (&["--baseline", "ack:0", "x"], 2, "N from 1 to 127"),
        (&["--lossy", "1", "x"], 2, "from 0 up to, not including, 1"),
        (&["--seed", "1", "x"], 2, "--lossy"),
    ];
    for (args, code, words) in cases {
        let (output, error) = trace(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error:?} should say {words:?}");
        assert!(output.stdout.is_empty(), "{args:?}: stdout is for results");
    }
}
