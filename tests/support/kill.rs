//! A program that is killed (SIGKILL) at random moments, again and again, until it comes to its end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::command::xtask_std;

/// Moments that look random and are the same in every run.
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    pub(crate) fn next(&mut self, longest_ms: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % longest_ms)
    }
}

/// Runs `line` in `dir` until it ends with 0; how often it was killed before that. A run that had begun goes on with
/// `resume` added.
pub(crate) fn until_done(
    dir: &Path,
    variables: &[(&str, &str)],
    line: &str,
    resume: &str,
    moments: &mut Moments,
) -> u32 {
    let (mut kills, mut has_begun) = (0, false);
    loop {
        let line = if has_begun { format!("{line}{resume}") } else { line.to_owned() };
        let mut command = xtask_std(dir);
        command.args(line.split(' ')).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        // Later and later, so that it gets further on a slow machine too.
        std::thread::sleep(moments.next(60 + 20 * u64::from(kills)));
        child.kill().expect("it can be killed");
        let output = child.wait_with_output().expect("it ended");
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => return kills,
            None => kills += 1,
            Some(3) if said.contains("nothing to resume") => has_begun = false,
            Some(3) if said.contains("was begun before") => has_begun = true,
            code => panic!("{line}: {code:?}: {said}"),
        }
        assert!(kills < 500, "it never comes to its end: {said}");
    }
}
