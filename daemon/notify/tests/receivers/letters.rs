//! E-mail against a small real SMTP server on this machine.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_notify::outbox::Outcome;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Line, nasty, parcel, plain, words};

/// A letter as it came.
#[derive(Debug, Clone, Default)]
struct Letter {
    from: String,
    to: Vec<String>,
    data: Vec<String>,
    login: Option<String>,
}

impl Letter {
    fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        let mut lines = self.data.iter().take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
    }
}

/// An SMTP server (RFC 5321) that takes letters, or says `refusal` to their recipients.
async fn serve(refusal: Option<&'static str>) -> (u16, Arc<Mutex<Vec<Letter>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let letters = Arc::new(Mutex::new(Vec::new()));
    let kept = letters.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            talk(stream, refusal, &kept).await;
        }
    });
    (port, letters)
}

async fn talk(stream: TcpStream, refusal: Option<&str>, kept: &Arc<Mutex<Vec<Letter>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut letter = Letter::default();
    stream.write_all(b"220 mail.example.com ESMTP\r\n").await.ok()?;
    loop {
        let line = line(&mut stream).await?;
        let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let said = match word.as_str() {
            "EHLO" => {
                "250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250-8BITMIME\r\n250 SIZE 100000".to_owned()
            }
            "AUTH" => {
                letter.login = line.strip_prefix("AUTH PLAIN ").map(str::to_owned);
                let good = STANDARD.encode("\0holdfast\0canary-word");
                if letter.login.as_deref() == Some(&good) { "235 2.7.0 ok" } else { "535 5.7.8 wrong" }
                    .to_owned()
            }
            "MAIL" => {
                letter.from = line.clone();
                "250 ok".to_owned()
            }
            "RCPT" => {
                letter.to.push(line.clone());
                refusal.unwrap_or("250 ok").to_owned()
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                letter.data = data(&mut stream).await?;
                kept.lock().unwrap().push(letter.clone());
                "250 2.0.0 queued as 4711".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return Some(());
            }
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{said}\r\n").as_bytes()).await.ok()?;
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let size = stream.read_line(&mut line).await.ok()?;
    (size > 0).then(|| line.trim_end_matches("\r\n").to_owned())
}

async fn data(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = line(stream).await?;
        assert!(line.len() <= 998, "RFC 5322 allows 998 characters a line");
        if line == "." {
            return Some(lines);
        }
        lines.push(line);
    }
}

fn mailbox(port: u16, word: &str) -> Line {
    let yaml = format!(
        "{{name: r, kind: email, host: 127.0.0.1, port: {port}, tls: none, user: holdfast, token: {{env: T}}, from: \
         'Holdfast <farm@example.com>', to: [stability@example.com]}}"
    );
    Line::new(&yaml, &[("T", word)])
}

#[tokio::test]
async fn a_letter_reaches_the_team_and_who_is_called() {
    let (port, letters) = serve(None).await;
    let line = mailbox(port, "canary-word");
    let outcome = line.send(&parcel(plain("ann@example.com"))).await;
    assert!(
        matches!(&outcome, Outcome::Accepted { answer, .. } if answer.contains("queued as 4711")),
        "{outcome:?}"
    );
    line.send(&parcel(plain("ann@example.com"))).await;
    let letters = letters.lock().unwrap().clone();
    let first = &letters[0];
    assert!(first.from.contains("<farm@example.com>"), "{first:?}");
    assert_eq!(first.to.len(), 2);
    assert!(first.to[1].contains("<ann@example.com>"), "{first:?}");
    assert_eq!(first.header("Subject"), "new crash: EXC_BAD_ACCESS in ChatRoom::send(Message const&)");
    assert_eq!(first.header("Auto-Submitted"), "auto-generated");
    assert!(first.header("References").starts_with("<group."), "{first:?}");
    assert_eq!(
        first.header("Message-ID"),
        letters[1].header("Message-ID"),
        "a repetition is known by its id"
    );
    assert!(first.data.iter().any(|line| line.contains("room.cpp:12")), "{first:?}");
}

#[tokio::test]
async fn nothing_in_a_crash_makes_a_header() {
    let (port, letters) = serve(None).await;
    let mut message = nasty("ann@example.com");
    message.title = "a\r\nBcc: everybody@example.com".to_owned();
    let outcome = mailbox(port, "canary-word").send(&parcel(message)).await;
    assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    let letter = letters.lock().unwrap()[0].clone();
    assert_eq!(letter.header("Bcc"), "");
    assert_eq!(letter.to.len(), 2);
}

#[tokio::test]
async fn a_wrong_password_waits_for_an_operator_and_is_not_shown() {
    let (port, _) = serve(None).await;
    let outcome = mailbox(port, "canary-other").send(&parcel(plain("ann@example.com"))).await;
    assert_eq!(words(&outcome).0, "later", "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
}

#[tokio::test]
async fn a_full_mailbox_is_tried_again_and_an_unknown_one_is_not() {
    for (said, expected) in [("452 4.2.2 mailbox full", "later"), ("550 5.1.1 no such user", "refused")] {
        let (port, _) = serve(Some(said)).await;
        let outcome = mailbox(port, "canary-word").send(&parcel(plain("ann@example.com"))).await;
        assert_eq!(words(&outcome).0, expected, "{outcome:?}");
        assert!(words(&outcome).1.contains(&said[4..]), "{outcome:?}");
    }
}
