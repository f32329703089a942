//! Link arguments of the shared library, and the versions that `rds_build_info` reports.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    link_arguments();
    versions();
}

fn link_arguments() {
    let arg = |arg: &str| println!("cargo:rustc-cdylib-link-arg={arg}");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => {}
        Ok("macos") => return arg("-Wl,-install_name,@rpath/librds.0.dylib"),
        _ => return,
    }
    // The number is the major version of the interface.
    arg("-Wl,-soname,librds.so.0");
    let options = [
        // The runtime's threads run code of the library until the process ends, so unloading it, which
        // dlclose would do, is never safe.
        "-Wl,-z,nodelete",
        "-Wl,-z,relro,-z,now",
        // Identical functions are very many in what generics make; folding them is safe as nothing compares addresses
        // of functions. LLD, gold and mold do it.
        "-Wl,--icf=all",
    ];
    let known = |options: &[&str]| links_with(options).unwrap_or(false);
    if known(&options) {
        return options.iter().for_each(|option| arg(option));
    }
    for option in options {
        match known(&[option]) {
            true => arg(option),
            false => println!("cargo:warning=the linker does not know {option}; it is left out"),
        }
    }
}

/// Whether a shared library can be linked with such options, in the way that cargo will link this one.
fn links_with(options: &[&str]) -> std::io::Result<bool> {
    let directory = PathBuf::from(std::env::var("OUT_DIR").unwrap_or_default());
    let source = directory.join("probe.rs");
    let panics = "#[panic_handler] fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }";
    std::fs::write(&source, format!("#![no_std]\n{panics}\n"))?;
    let of = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let mut rustc = Command::new(of("RUSTC").unwrap_or_else(|| "rustc".to_string()));
    rustc.args(["--crate-type=cdylib", "--crate-name=probe", "-Cpanic=abort", "--edition=2021"]);
    rustc.arg(source).arg("--out-dir").arg(directory);
    rustc.args(of("TARGET").map(|target| format!("--target={target}")));
    rustc.args(of("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    let flags = of("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.args(options.iter().map(|option| format!("-Clink-arg={option}")));
    Ok(rustc.output()?.status.success())
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
