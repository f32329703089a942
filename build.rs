//! Link arguments of the shared library, and the versions that `rds_build_info` reports.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    link_arguments();
    versions();
}

fn link_arguments() {
    let target_os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target_os != "linux" {
        return;
    }
    let arg = |arg: &str| println!("cargo:rustc-cdylib-link-arg={arg}");
    // The number is the major version of the interface.
    arg("-Wl,-soname,librds.so.0");
    // The runtime's threads run code of the library until the process ends, so unloading it, which
    // dlclose would do, is never safe.
    arg("-Wl,-z,nodelete");
    arg("-Wl,-z,relro,-z,now");
    // Handlers of forks are called by ours: see src/ffi/fork.rs, which has the other end for these targets.
    let is = |variable, values: &[&str]| {
        std::env::var(variable).is_ok_and(|value| values.contains(&value.as_str()))
    };
    if is("CARGO_CFG_TARGET_ENV", &["gnu"]) && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"]) {
        arg("-Wl,--wrap=pthread_atfork");
    }
    // rustc links with its own LLD on this target only. Identical functions are very many in what
    // generics make; folding them is safe as nothing compares addresses of functions.
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64") {
        arg("-Wl,--icf=all");
    }
}

fn versions() {
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    for (variable, package) in [("RDS_LANCE_VERSION", "lance"), ("RDS_ARROW_VERSION", "arrow")] {
        println!("cargo:rustc-env={variable}={}", locked_version(&lock, package));
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let version = text.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo:rustc-env=RDS_RUSTC_VERSION={version}");
}

/// The version that Cargo.lock has for a package of that exact name.
fn locked_version<'a>(lock: &'a str, package: &str) -> &'a str {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = "));
    version.map_or("unknown", |v| v.trim_matches('"'))
}
