//! Trying tokens as the public has them: the right one must open a session, and nothing else may.
//!
//! Every try is a unit. A right token without data is bad, and so is a wrong, missing, expired or another session's token
//! with data. Where no answer comes that can be relied on, the whole reading failed. A token must never be in
//! evidence, reports or errors; only the keys of sessions are.

use super::ask::{BAD_KEPT, found_in};
use super::evidence::Reading;
use super::settings::Tokens;
use crate::ids::sha256;
use crate::probe::{Answers, Question, Rows};
use crate::target::postgrest::{Called, Caller};

/// Somebody of the public, who can call functions and do nothing else.
pub trait Public {
    /// Calls a function; the error says why there is no answer to rely on.
    fn call(&self, function: &str, parameters: &[(&str, &str)]) -> Result<Called, String>;
}

impl Public for Caller {
    fn call(&self, function: &str, parameters: &[(&str, &str)]) -> Result<Called, String> {
        Caller::call(self, function, parameters)
    }
}

/// A session and its token.
struct Session {
    key: String,
    token: String,
}

/// What came of the tries so far.
struct Tries<'a> {
    terms: &'a Tokens,
    public: &'a dyn Public,
    units: u64,
    bad: Vec<String>,
}

/// Tries the tokens of some sessions. `at` chooses which: another look, other sessions.
pub(super) fn read(
    terms: &Tokens,
    answers: &mut dyn Answers,
    public: &dyn Public,
    names: &[(&str, &str)],
    at: &str,
) -> Result<Reading, String> {
    let sessions = sample(&terms.sessions, terms, answers, names, at)?;
    let expired = match &terms.expired {
        Some(rows) => sample(rows, terms, answers, names, at)?,
        None => Vec::new(),
    };
    let mut tries = Tries { terms, public, units: 0, bad: Vec::new() };
    for (index, session) in sessions.iter().enumerate() {
        tries.must_open(session)?;
        let wrong = another(&session.token);
        tries.must_stay_shut(session, Some(&wrong), "a wrong token gives data")?;
        if index == 0 {
            tries.must_stay_shut(session, None, "without a token there is data")?;
        }
        let other = sessions.get((index + 1) % sessions.len()).filter(|other| other.token != session.token);
        if let Some(other) = other {
            tries.must_stay_shut(session, Some(&other.token), "another session's token gives data")?;
        }
    }
    for session in &expired {
        tries.must_stay_shut(session, Some(&session.token), "an expired token gives data")?;
    }
    let good = tries.units - tries.bad.len() as u64;
    tries.bad.truncate(BAD_KEPT);
    Ok(Reading::Counted { units: tries.units, good, bad: tries.bad })
}

impl Tries<'_> {
    fn call(&self, session: &Session, token: Option<&str>) -> Result<Called, String> {
        let terms = self.terms;
        let mut parameters = vec![(terms.session_parameter.as_str(), session.key.as_str())];
        parameters.extend(token.map(|token| (terms.token_parameter.as_str(), token)));
        self.public.call(&terms.function, &parameters)
    }

    fn must_open(&mut self, session: &Session) -> Result<(), String> {
        let why = match self.call(session, Some(&session.token))? {
            Called::Data => None,
            Called::Nothing => Some("its token gives no data".to_owned()),
            Called::Denied(code) => Some(format!("its token is refused, {code}")),
            Called::Unknown => {
                return Err(format!("there is no function {} that takes a token", self.terms.function));
            }
        };
        self.count(session, why);
        Ok(())
    }

    fn must_stay_shut(&mut self, session: &Session, token: Option<&str>, what: &str) -> Result<(), String> {
        let is_open = self.call(session, token)? == Called::Data;
        self.count(session, is_open.then(|| what.to_owned()));
        Ok(())
    }

    fn count(&mut self, session: &Session, why: Option<String>) {
        self.units += 1;
        self.bad.extend(why.map(|why| format!("{}: {why}", session.key)));
    }
}

/// Some sessions and their tokens, others at another time.
fn sample(
    rows: &Rows,
    terms: &Tokens,
    answers: &mut dyn Answers,
    names: &[(&str, &str)],
    at: &str,
) -> Result<Vec<Session>, String> {
    let lines = answers.rows(&Question::all(rows, &[terms.token.as_str()], names))?;
    let session = |line: Vec<Option<String>>| match <[Option<String>; 2]>::try_from(line) {
        Ok([Some(key), Some(token)]) if !token.is_empty() => Some(Session { key, token }),
        _ => None,
    };
    let mut sessions: Vec<Session> = lines.into_iter().filter_map(session).collect();
    if let Some(with) = &terms.with {
        let keys: Vec<String> = sessions.iter().map(|session| session.key.clone()).collect();
        let found = found_in(with, &keys, answers, names)?;
        sessions.retain(|session| found.contains(&session.key));
    }
    sessions.sort_by_cached_key(|session| sha256(format!("{at} {}", session.key).as_bytes()));
    sessions.truncate(terms.sample);
    Ok(sessions)
}

/// A token of the same form that is another one: each letter and digit is the next of its kind.
fn another(token: &str) -> String {
    let next = |c: char| match c {
        '9' => '0',
        'f' => 'a',
        'F' => 'A',
        'z' => 'g',
        'Z' => 'G',
        '0'..='8' | 'a'..='y' | 'A'..='Y' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        other => other,
    };
    let other: String = token.chars().map(next).collect();
    if other == token { format!("{token}0") } else { other }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Found;
    use super::*;
    use crate::db::Cell;
    use crate::probe::Line;

    /// Sessions `s1` to `s3` with tokens, of which one has expired.
    struct World {
        right: Called,
        wrong: Called,
        missing: Called,
    }

    impl Answers for World {
        fn sql(&mut self, _: &str) -> Result<Vec<Vec<Cell>>, String> {
            unreachable!("tokens are read as rows")
        }

        fn rows(&mut self, question: &Question<'_>) -> Result<Vec<Line>, String> {
            let line = |key: &str, token: &str| vec![Some(key.to_owned()), Some(token.to_owned())];
            Ok(match question.rows.table.as_str() {
                "sessions" => vec![line("s1", "aa11"), line("s2", "bb22"), vec![Some("s0".to_owned()), None]],
                "expired" => vec![line("s3", "cc33")],
                "profiles" => vec![line("p1", "s1"), line("p3", "s3")],
                other => return Err(format!("no such table: {other}")),
            })
        }
    }

    impl Public for World {
        fn call(&self, function: &str, parameters: &[(&str, &str)]) -> Result<Called, String> {
            assert_eq!(function, "get_profile");
            let answer = match parameters {
                [("id", "s1"), ("t", "aa11")] | [("id", "s2"), ("t", "bb22")] => &self.right,
                [_, _] => &self.wrong,
                _ => &self.missing,
            };
            match answer {
                Called::Denied(code) if code == "down" => Err("HTTP 503".to_owned()),
                answer => Ok(answer.clone()),
            }
        }
    }

    fn terms(sessions: &str) -> Tokens {
        let rows = |table: &str| Rows {
            table: table.to_owned(),
            key: vec!["id".to_owned()],
            conditions: Vec::new(),
        };
        Tokens {
            sessions: rows(sessions),
            token: "share_token".to_owned(),
            with: None,
            expired: Some(rows("expired")),
            sample: 5,
            function: "get_profile".to_owned(),
            session_parameter: "id".to_owned(),
            token_parameter: "t".to_owned(),
        }
    }

    fn tried(right: &Called, wrong: &Called, missing: &Called) -> Result<Reading, String> {
        let world = || World { right: right.clone(), wrong: wrong.clone(), missing: missing.clone() };
        read(&terms("sessions"), &mut world(), &world(), &[], "t")
    }

    #[test]
    fn the_right_token_opens_and_no_other_does() {
        let denied = || Called::Denied("HTTP 403".to_owned());
        // Two right ones, two wrong ones, two of the other session, none at all, and an expired one.
        let sound = Ok(Reading::Counted { units: 8, good: 8, bad: Vec::new() });
        assert_eq!(tried(&Called::Data, &Called::Nothing, &Called::Unknown), sound);
        assert_eq!(tried(&Called::Data, &denied(), &Called::Nothing), sound);
        for (right, wrong, missing, good, why) in [
            (Called::Data, Called::Data, denied(), 3, "s3: an expired token gives data"),
            (Called::Data, denied(), Called::Data, 7, "without a token there is data"),
            (Called::Nothing, denied(), denied(), 6, "s1: its token gives no data"),
            (denied(), denied(), denied(), 6, "s2: its token is refused, HTTP 403"),
        ] {
            let Ok(Reading::Counted { units, good: found, bad }) = tried(&right, &wrong, &missing) else {
                panic!()
            };
            assert_eq!((units, found), (8, good));
            assert!(bad.iter().any(|bad| bad.contains(why)), "{bad:?}");
            assert!(!bad.concat().contains("aa11"), "tokens are secret");
        }
    }

    #[test]
    fn no_answer_says_nothing() {
        let down = || Called::Denied("down".to_owned());
        assert_eq!(tried(&down(), &Called::Nothing, &Called::Nothing), Err("HTTP 503".to_owned()));
        assert_eq!(tried(&Called::Data, &down(), &Called::Nothing), Err("HTTP 503".to_owned()));
        assert!(
            tried(&Called::Unknown, &Called::Nothing, &Called::Nothing).unwrap_err().contains("no function")
        );
        let mut world = World { right: Called::Data, wrong: Called::Nothing, missing: Called::Nothing };
        let public = World { right: Called::Data, wrong: Called::Nothing, missing: Called::Nothing };
        let found = read(&terms("none"), &mut world, &public, &[], "t");
        assert_eq!(found, Err("no such table: none".to_owned()));
    }

    #[test]
    fn a_session_without_a_profile_is_not_tried() {
        let rows = Rows { table: "profiles".to_owned(), key: vec!["id".to_owned()], conditions: Vec::new() };
        let with = Some(Found { rows, by: "session_id".to_owned() });
        let world = || World { right: Called::Data, wrong: Called::Nothing, missing: Called::Nothing };
        let terms = Tokens { with, ..terms("sessions") };
        // The right token of `s1`, a wrong one, none, and the expired one of `s3`.
        let expected = Ok(Reading::Counted { units: 4, good: 4, bad: Vec::new() });
        assert_eq!(read(&terms, &mut world(), &world(), &[], "t"), expected);
    }

    #[test]
    fn a_wrong_token_looks_like_a_right_one() {
        assert_eq!(another("0a9f-Zz8e"), "1b0a-Gg9f");
        assert_eq!(another("--"), "--0");
    }
}
