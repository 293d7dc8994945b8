//! `claviger explain`: what an error code means, why it usually happens, what to do.

use clap::Args;
use serde_json::json;

use crate::{
    error::{CliError, Result},
    problem::Problem,
    reply::{Lines, Reply},
};

/// Explain an error code: meaning, likely cause, remedy
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  claviger explain\n  claviger explain key-unusable")]
pub(crate) struct ExplainArguments {
    /// The code, as in {"error":{"code":...}} or a problem document of the service; all of them if not given
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(crate) fn run(arguments: &ExplainArguments) -> Result<Reply> {
    let Some(code) = &arguments.code else {
        let text: Vec<String> = Problem::ALL.into_iter().map(text_of).collect();
        let all: Vec<_> = Problem::ALL.into_iter().map(json_of).collect();
        return Reply::new(&all, text.join("\n"));
    };
    let problem = Problem::with_code(code).ok_or_else(|| {
        let known = Problem::ALL.map(Problem::code).join(", ");
        CliError::usage(format!("there is no error code {code}; there are {known}"))
    })?;
    Reply::new(&json_of(problem), text_of(problem))
}

fn text_of(problem: Problem) -> String {
    let explanation = problem.explanation();
    let remedy = match explanation.remedy {
        "" => "See the operating system's message.".to_owned(),
        remedy => format!("{remedy}."),
    };
    Lines::default()
        .with("code", problem.code())
        .with("exit code", problem.exit().number())
        .with("retryable", if problem.is_retryable() { "yes" } else { "no" })
        .with("meaning", explanation.meaning)
        .with("cause", explanation.cause)
        .with("remedy", remedy)
        .finish()
}

fn json_of(problem: Problem) -> serde_json::Value {
    let explanation = problem.explanation();
    json!({
        "code": problem.code(),
        "exit_code": problem.exit().number(),
        "retryable": problem.is_retryable(),
        "meaning": explanation.meaning,
        "cause": explanation.cause,
        "remedy": explanation.remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: Option<&str>) -> Result<Reply> {
        run(&ExplainArguments { code: code.map(str::to_owned) })
    }

    #[test]
    fn every_code_is_explained_alone_and_in_the_list() {
        let all = explained(None).unwrap();
        for problem in Problem::ALL {
            let alone = explained(Some(problem.code())).unwrap();
            assert!(alone.text().contains(problem.explanation().meaning));
            assert!(all.text().contains(alone.text()));
        }
    }

    #[test]
    fn an_unknown_code_names_those_there_are() {
        let refused = explained(Some("E42")).unwrap_err();
        assert_eq!(refused.problem(), Problem::Usage);
        assert!(refused.to_string().contains("ciphertext-rejected"));
    }
}
