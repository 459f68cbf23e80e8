//! Both sides of a proxy that is measured: the clients that load it, and the backend behind it.
//!
//! Tools that exist take one token, or no HTTP/2, or no fixed rate. This one sends a token of a list with each request, over
//! HTTP/1.1 and HTTP/2, with and without TLS, as fast as it goes or at a fixed rate, and checks every answer.

mod backend;
mod closed;
mod http1;
mod http2;
mod idle;
mod job;
mod tally;
mod tls;
mod tokens;
mod wire;

use std::io::{BufRead, Write};

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers every request at once.
    Backend(backend::Arguments),
    /// Sends requests from many connections, and prints what came back as JSON.
    Load(Box<job::Arguments>),
    /// Opens many connections, sends one request on each, and holds them until standard input ends.
    Idle(idle::Arguments),
    /// Signs tokens.
    Tokens(tokens::Arguments),
}

/// What goes wrong in a tool that a person starts: a text.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    match Arguments::parse().command {
        Command::Backend(arguments) => backend::serve(&arguments),
        Command::Load(arguments) => load(&arguments),
        Command::Idle(arguments) => idle::hold(&arguments),
        Command::Tokens(arguments) => tokens::write(&arguments),
    }
}

fn load(arguments: &job::Arguments) -> Result<(), Failure> {
    let job = job::Job::read(arguments)?;
    let tally = if arguments.http2 { http2::run(job)? } else { closed::run(&job)? };
    println!("{}", tally.into_json());
    Ok(())
}

/// Says that all connections stand, and waits until the measurement begins: a line on standard input.
fn wait_for_the_start() -> Result<(), Failure> {
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}
