//! Connections that have sent one request each, and wait for the next.

use crate::http1::Connection;
use crate::job::{self, Credential, Job};
use crate::{Failure, wait_for_the_start};

/// One of so many is tried again at the end.
const SAMPLE: usize = 100;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    job: job::Arguments,
}

pub fn hold(arguments: &Arguments) -> Result<(), Failure> {
    let job = Job::read(&arguments.job)?;
    let mut held = Vec::with_capacity(job.connections);
    for _ in 0..job.connections {
        let mut connection = Connection::open_small(job.to)?;
        exchange(&job, &mut connection)?;
        held.push(connection);
    }
    wait_for_the_start()?;
    // They are still open, and still good.
    for connection in held.iter_mut().step_by(SAMPLE) {
        exchange(&job, connection)?;
    }
    println!("{}", held.len());
    Ok(())
}

fn exchange(job: &Job, connection: &mut Connection) -> Result<(), Failure> {
    let token = match job.next_credential() {
        Credential::Token(token) => Some(token),
        Credential::None | Credential::UsedUp => None,
    };
    let answer = connection.exchange(job, token)?;
    Ok(job.judge(answer.status, answer.length)?)
}
