//! `--cpu-list`: wrong lists everywhere, and on Linux that the process really stays on these CPUs.

mod support;

use support::{Sample, picture};

#[test]
fn lists_that_are_none() {
    let model = Sample::good();
    for list in ["", "a", "1-", "3-2", "0,,1", "1024", "0-99999999999999999999"] {
        for command in ["bench", "profile", "selftest"] {
            model.run(command, &["--cpu-list", list]).refused("--cpu-list");
        }
        model.run("run", &[&picture(), "--cpu-list", list]).refused("--cpu-list");
        model.run("stream", &["--size", "8x8", "--cpu-list", list]).refused("--cpu-list");
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
fn elsewhere_it_is_an_error() {
    Sample::good().run("bench", &["--cpu-list", "0"]).failed(&["not supported on this system"]);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;

    use rustix::thread::{CpuSet, sched_getaffinity};

    use super::support::{Sample, picture, run};

    /// CPUs that this test may use.
    fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
    }

    #[test]
    fn cpus_that_are_not_there() {
        let (model, allowed) = (Sample::good(), allowed());
        let missing = (0..1024).rev().find(|cpu| !allowed.contains(cpu)).unwrap();
        let list = format!("{},{missing}", allowed[0]);
        let named = format!("CPU {missing} is not there");
        let words = [named.as_str(), "allowed here: ", &allowed[0].to_string()];
        for command in ["bench", "profile", "selftest"] {
            model.run(command, &["--cpu-list", &list]).failed(&words);
        }
        model.run("run", &[&picture(), "--cpu-list", &list]).failed(&words);
        let mut stream = model.command("stream", &["--size", "8x8", "--cpu-list", &list]);
        run(stream.stdin(Stdio::null())).failed(&words);
    }

    #[test]
    fn one_thread_per_cpu_unless_told_otherwise() {
        let (model, allowed) = (Sample::good(), allowed());
        let list: Vec<String> = allowed.iter().map(usize::to_string).collect();
        let bench = |arguments: &[&str]| {
            let usual = ["--json", "--runs", "1", "--cpu-list"];
            model.run("bench", &[&usual[..], arguments].concat()).json()["threads"].as_u64()
        };
        assert_eq!(bench(&[&list[0]]), Some(1));
        assert_eq!(bench(&[&list.join(",")]), Some(allowed.len().min(256) as u64));
        assert_eq!(bench(&[&list[0], "--threads", "3"]), Some(3));
    }

    #[test]
    fn every_thread_stays_on_the_list() {
        // Large enough for three threads to pay.
        let (model, cpu) = (Sample::of_size(512, |_| ()), allowed().pop().unwrap().to_string());
        let arguments = ["--size", "8x8", "--cpu-list", &cpu, "--threads", "3"];
        let mut command = model.command("stream", &arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[0; 8 * 8 * 3]).unwrap();
        // Once there is an answer, all threads have been started.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let cpus_of = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).unwrap().to_owned()
        };
        let lists: Vec<String> = tasks.map(cpus_of).collect();
        drop(input);
        assert!(child.wait().unwrap().success());
        // Three there would be without workers: that of the network, of the frames and of the signals.
        assert!(lists.len() > 3, "{lists:?}");
        assert_eq!(lists.into_iter().collect::<HashSet<_>>(), HashSet::from([cpu]));
    }
}
