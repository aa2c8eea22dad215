//! Trackers: each keeps its tickets in memory and answers in its own shapes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_notify::TicketAction::{Close, Comment, Open, Reopen};
use holdfast_notify::message::Ticket;
use holdfast_notify::outbox::{Outcome, Parcel};
use serde_json::{Value, json};

use crate::server::{Answer, Came, Line, Server, json, nasty, parcel, ticket, words};

/// A ticket at a pretend tracker.
#[derive(Debug, Clone, Default)]
struct Kept {
    title: String,
    labels: Vec<String>,
    assignee: String,
    open: bool,
    comments: Vec<String>,
}

type Shelf = Arc<Mutex<BTreeMap<u64, Kept>>>;

fn put(shelf: &Shelf, kept: Kept) -> u64 {
    let mut shelf = shelf.lock().unwrap();
    let id = shelf.len() as u64 + 1;
    shelf.insert(id, kept);
    id
}

fn labelled(shelf: &Shelf, label: &str) -> Option<u64> {
    let shelf = shelf.lock().unwrap();
    shelf.iter().find(|(_, kept)| kept.labels.iter().any(|known| known == label)).map(|(id, _)| *id)
}

/// What every tracker has to hold to: found, opened once, commented, closed, opened again.
async fn life(line: &Line, shelf: &Shelf, reference: &str) {
    let outcome = line.send(&ticket(Open, None)).await;
    let Outcome::Accepted { ticket: Some((found, Some(url))), .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(found, reference);
    assert!(url.starts_with("http"), "{url}");
    // The answer was lost, or the records: it is found and not made again.
    let outcome = line.send(&ticket(Open, None)).await;
    assert_eq!(words(&outcome), ("accepted", "the ticket is there already"));
    assert_eq!(shelf.lock().unwrap().len(), 1, "one ticket per group");
    for (action, open, comments) in [(Comment, true, 1), (Close, false, 2), (Reopen, true, 3)] {
        let outcome = line.send(&ticket(action, Some(reference))).await;
        assert_eq!(words(&outcome).0, "accepted", "{action:?} {outcome:?}");
        let kept = shelf.lock().unwrap()[&1].clone();
        assert_eq!((kept.open, kept.comments.len()), (open, comments), "{action:?}");
    }
    let kept = shelf.lock().unwrap()[&1].clone();
    assert_eq!(kept.title, "new crash: EXC_BAD_ACCESS in ChatRoom::send(Message const&)");
    assert!(
        kept.labels.contains(&"holdfast-g1".to_owned()) && kept.labels.contains(&"crash".to_owned()),
        "{kept:?}"
    );
    assert_eq!(kept.assignee, "42");
    // Everything as long and as nasty as it can be still fits.
    let mut message = nasty("x");
    let marker = "holdfast-g2".to_owned();
    message.ticket = Some(Ticket { action: Open, marker, assignees: Vec::new(), module: None });
    let outcome = line.send(&parcel(message)).await;
    assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
}

fn github(came: &Came, shelf: &Shelf, base: &str) -> Answer {
    if came.header("authorization") != "Bearer canary-token-1" || came.header("user-agent").is_empty() {
        return json(401, &json!({"message": "Bad credentials"}));
    }
    let issue = |id: u64| json!({"number": id, "html_url": format!("{base}/example/mooring/issues/{id}")});
    let path: Vec<&str> = came.path.trim_start_matches('/').split('/').collect();
    assert_eq!(path[..4], ["repos", "example", "mooring", "issues"]);
    match (came.method.as_str(), path.get(4), path.get(5)) {
        ("GET", None, None) => {
            assert_eq!(came.query["state"], "all", "closed ones are found too");
            let found = labelled(shelf, &came.query["labels"]);
            // A pull request with the label is no issue.
            let pull = json!({"number": 99, "pull_request": {"url": "x"}});
            json(200, &Value::Array(std::iter::once(pull).chain(found.map(issue)).collect()))
        }
        ("POST", None, None) => {
            let body = came.json();
            let (title, text) = (body["title"].as_str().unwrap(), body["body"].as_str().unwrap());
            if title.chars().count() > 256 || text.chars().count() > 65_536 {
                return json(422, &json!({"message": "Validation Failed"}));
            }
            assert_eq!(text.matches("```").count() % 2, 0, "code ends");
            // Nobody is called from code.
            let outside: String = text.split("```").step_by(2).collect();
            assert!(!outside.contains("@all") && !outside.contains("<at"), "{outside}");
            let labels = serde_json::from_value(body["labels"].clone()).unwrap();
            let assignee = body["assignees"][0].as_str().unwrap_or_default().to_owned();
            let id =
                put(shelf, Kept { title: title.to_owned(), labels, assignee, open: true, ..Kept::default() });
            json(201, &issue(id))
        }
        ("PATCH", Some(id), None) => {
            let id = id.parse().unwrap();
            shelf.lock().unwrap().get_mut(&id).unwrap().open = came.json()["state"] == "open";
            json(200, &issue(id))
        }
        ("POST", Some(id), Some(&"comments")) => {
            let Some(kept) = shelf.lock().unwrap().get_mut(&id.parse().unwrap()).cloned() else {
                return json(410, &json!({"message": "This issue was deleted"}));
            };
            let mut kept = kept;
            kept.comments.push(came.json()["body"].as_str().unwrap().to_owned());
            shelf.lock().unwrap().insert(id.parse().unwrap(), kept);
            json(201, &json!({"id": 1}))
        }
        other => panic!("GitHub knows no {other:?}"),
    }
}

async fn github_line() -> (Line, Shelf, Server) {
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let server = Server::start(move |came| github(came, &inner, "https://github.example.com")).await;
    let yaml = format!(
        "{{name: r, kind: github, base: '{}', token: {{env: T}}, project: example/mooring, labels: [crash]}}",
        server.base
    );
    (Line::new(&yaml, &[("T", "canary-token-1")]), shelf, server)
}

#[tokio::test]
async fn github_keeps_one_issue_per_group() {
    let (line, shelf, _server) = github_line().await;
    life(&line, &shelf, "1").await;
}

#[tokio::test]
async fn an_issue_that_was_deleted_is_made_anew_and_one_that_never_was_is_not_closed() {
    let (line, shelf, _server) = github_line().await;
    let outcome = line.send(&ticket(Comment, Some("17"))).await;
    let Outcome::Accepted { ticket: Some((reference, _)), .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(reference, "1");
    assert_eq!(shelf.lock().unwrap().len(), 1);
    let (line, shelf, _server) = github_line().await;
    let outcome = line.send(&ticket(Close, None)).await;
    assert_eq!(words(&outcome), ("accepted", "there is no ticket to close"));
    assert!(shelf.lock().unwrap().is_empty());
}

#[tokio::test]
async fn github_says_in_headers_when_it_has_had_enough() {
    let server = Server::start(|_| {
        let headers =
            vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", "1795000090".to_owned())];
        (403, headers, json!({"message": "You have exceeded a secondary rate limit"}).to_string())
    })
    .await;
    let yaml = format!("{{name: r, kind: github, base: '{}', token: {{env: T}}, project: a/b}}", server.base);
    let outcome = Line::new(&yaml, &[("T", "t")]).send(&ticket(Open, None)).await;
    let Outcome::Later { quiet: Some(quiet), .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(quiet.as_secs(), 89, "until the limit is reset");
    assert!(quiet < Duration::from_secs(90));
}

fn gitlab(came: &Came, shelf: &Shelf) -> Answer {
    if came.header("private-token") != "canary-token-2" {
        return json(401, &json!({"message": "401 Unauthorized"}));
    }
    let issue = |id: u64| json!({"iid": id, "id": id + 1000, "web_url": format!("https://gitlab.example.com/i/{id}")});
    let rest = came.path.strip_prefix("/api/v4/projects/apps%2Fmooring/issues").unwrap();
    let path: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    match (came.method.as_str(), path.as_slice()) {
        ("GET", []) => {
            assert_eq!(came.query["scope"], "all");
            json(200, &Value::Array(labelled(shelf, &came.query["labels"]).map(issue).into_iter().collect()))
        }
        ("POST", []) => {
            let body = came.json();
            let title = body["title"].as_str().unwrap();
            let text = body["description"].as_str().unwrap();
            if title.chars().count() > 255 || text.chars().count() > 1_048_576 {
                return json(
                    400,
                    &json!({"message": {"title": ["is too long (maximum is 255 characters)"]}}),
                );
            }
            assert!(!text.lines().any(|line| line.starts_with('/')), "no line is a command: {text}");
            assert_eq!(body["confidential"], true);
            let labels = body["labels"].as_str().unwrap().split(',').map(str::to_owned).collect();
            let assignee = body["assignee_ids"][0].as_u64().map(|id| id.to_string()).unwrap_or_default();
            let id =
                put(shelf, Kept { title: title.to_owned(), labels, assignee, open: true, ..Kept::default() });
            json(201, &issue(id))
        }
        ("PUT", [id]) => {
            let id = id.parse().unwrap();
            let open = match came.json()["state_event"].as_str() {
                Some("close") => false,
                Some("reopen") => true,
                other => panic!("GitLab knows no event {other:?}"),
            };
            shelf.lock().unwrap().get_mut(&id).unwrap().open = open;
            json(200, &issue(id))
        }
        ("POST", [id, "notes"]) => {
            let body = came.json()["body"].as_str().unwrap().to_owned();
            shelf.lock().unwrap().get_mut(&id.parse().unwrap()).unwrap().comments.push(body);
            json(201, &json!({"id": 1}))
        }
        other => panic!("GitLab knows no {other:?}"),
    }
}

#[tokio::test]
async fn gitlab_keeps_one_issue_per_group() {
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let server = Server::start(move |came| gitlab(came, &inner)).await;
    let yaml = format!(
        "{{name: r, kind: gitlab, base: '{}', token: {{env: T}}, project: apps/mooring, labels: [crash], confidential: \
         true}}",
        server.base
    );
    life(&Line::new(&yaml, &[("T", "canary-token-2")]), &shelf, "1").await;
}

/// The text of a document, and that every node of it is one that Jira takes.
fn document(node: &Value) -> String {
    assert_eq!((&node["type"], &node["version"]), (&json!("doc"), &json!(1)));
    let blocks = node["content"].as_array().unwrap();
    let texts = blocks.iter().map(|block| {
        assert!(["paragraph", "codeBlock"].contains(&block["type"].as_str().unwrap()));
        let text = block["content"][0]["text"].as_str().unwrap();
        assert!(!text.is_empty(), "an empty text is refused");
        text.to_owned()
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn jira(came: &Came, shelf: &Shelf, version: u32) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode("robot@example.com:canary-token-3"));
    let expected = if version == 3 { basic } else { "Bearer canary-token-3".to_owned() };
    if came.header("authorization") != expected {
        return json(401, &json!({"errorMessages": ["no"]}));
    }
    let text =
        |value: &Value| if version == 3 { document(value) } else { value.as_str().unwrap().to_owned() };
    let number = |key: &str| key.strip_prefix("APP-").unwrap().parse::<u64>().unwrap();
    let rest = came.path.strip_prefix(&format!("/rest/api/{version}/")).unwrap();
    let path: Vec<&str> = rest.split('/').collect();
    match (came.method.as_str(), path.as_slice()) {
        // The old search of the cloud was taken away.
        ("GET", ["search", "jql"] | ["search"]) => {
            assert_eq!(path.len() == 2, version == 3);
            let jql = &came.query["jql"];
            let label = jql.split("labels = \"").nth(1).unwrap().split('"').next().unwrap();
            assert!(jql.starts_with("project = \"APP\" AND "), "{jql}");
            let found = labelled(shelf, label).map(|id| json!({"key": format!("APP-{id}")}));
            json(200, &json!({"issues": found.into_iter().collect::<Vec<_>>()}))
        }
        ("POST", ["issue"]) => {
            let fields = &came.json()["fields"];
            let title = fields["summary"].as_str().unwrap();
            let too_long =
                title.chars().count() > 255 || text(&fields["description"]).chars().count() > 32_767;
            if too_long || title.contains('\n') {
                return json(400, &json!({"errors": {"summary": "too long"}}));
            }
            assert_eq!(
                (&fields["project"]["key"], &fields["issuetype"]["name"]),
                (&json!("APP"), &json!("Bug"))
            );
            let labels: Vec<String> = serde_json::from_value(fields["labels"].clone()).unwrap();
            assert!(labels.iter().all(|label| !label.contains(' ')));
            let who = if version == 3 { "accountId" } else { "name" };
            let assignee = fields["assignee"][who].as_str().unwrap_or_default().to_owned();
            let id =
                put(shelf, Kept { title: title.to_owned(), labels, assignee, open: true, ..Kept::default() });
            json(201, &json!({"id": "1", "key": format!("APP-{id}")}))
        }
        ("POST", ["issue", key, "comment"]) => {
            let comment = text(&came.json()["body"]);
            shelf.lock().unwrap().get_mut(&number(key)).unwrap().comments.push(comment);
            json(201, &json!({"id": "1"}))
        }
        ("GET", ["issue", key, "transitions"]) => {
            let open = shelf.lock().unwrap()[&number(key)].open;
            let (id, category) = if open { ("31", "done") } else { ("11", "new") };
            let other = json!({"id": "99", "to": {"statusCategory": {"key": "undefined"}}});
            json(
                200,
                &json!({"transitions": [other, {"id": id, "to": {"statusCategory": {"key": category}}}]}),
            )
        }
        ("POST", ["issue", key, "transitions"]) => {
            let open = came.json()["transition"]["id"] == "11";
            shelf.lock().unwrap().get_mut(&number(key)).unwrap().open = open;
            (204, Vec::new(), String::new())
        }
        other => panic!("Jira knows no {other:?}"),
    }
}

#[tokio::test]
async fn jira_keeps_one_issue_per_group_in_the_cloud_and_in_a_data_center() {
    for (version, user) in [(3, "user: robot@example.com, "), (2, "")] {
        let shelf = Shelf::default();
        let inner = shelf.clone();
        let server = Server::start(move |came| jira(came, &inner, version)).await;
        let yaml = format!(
            "{{name: r, kind: jira, base: '{}', {user}api: {version}, token: {{env: T}}, project: APP, labels: [crash]}}",
            server.base
        );
        life(&Line::new(&yaml, &[("T", "canary-token-3")]), &shelf, "APP-1").await;
    }
}

fn tapd(came: &Came, shelf: &Shelf) -> Answer {
    let said = |data: Value| json(200, &json!({"status": 1, "data": data, "info": "success"}));
    let refused = |status: i64, why: &str| json(200, &json!({"status": status, "data": {}, "info": why}));
    if came.header("authorization") != format!("Basic {}", STANDARD.encode("api-user:canary-token-4")) {
        return json(401, &json!({"status": 401, "info": "Unauthorized"}));
    }
    let id_of = |id: u64| format!("10101581000{id}");
    let number = |id: &str| id.strip_prefix("10101581000").unwrap().parse::<u64>().unwrap();
    let bug = |id: u64| json!({"Bug": {"id": id_of(id)}});
    let fields = if came.method == "GET" { came.query.clone() } else { came.form() };
    if fields.get("workspace_id").map(String::as_str) != Some("10158231") {
        return refused(404, "workspace not found");
    }
    match (came.method.as_str(), came.path.as_str(), fields.get("id")) {
        ("GET", "/bugs", None) => {
            said(Value::Array(labelled(shelf, &fields["label"]).map(bug).into_iter().collect()))
        }
        ("POST", "/bugs", None) => {
            assert!(!fields["description"].contains("<@all>"), "HTML is escaped: {}", fields["description"]);
            let assignee =
                fields.get("current_owner").map_or("", |owner| owner.strip_suffix(';').unwrap()).to_owned();
            let labels = fields["label"].split('|').map(str::to_owned).collect();
            let kept =
                Kept { title: fields["title"].clone(), labels, assignee, open: true, ..Kept::default() };
            said(bug(put(shelf, kept)))
        }
        ("POST", "/bugs", Some(id)) => {
            assert!(!fields.contains_key("description"), "what people wrote is not overwritten");
            let open = match fields["status"].as_str() {
                "closed" => false,
                "reopened" => true,
                other => return refused(422, &format!("status {other} is not there")),
            };
            shelf.lock().unwrap().get_mut(&number(id)).unwrap().open = open;
            said(bug(number(id)))
        }
        ("POST", "/comments", None) => {
            assert_eq!(fields["entry_type"], "bug");
            let text = fields["description"].clone();
            shelf.lock().unwrap().get_mut(&number(&fields["entry_id"])).unwrap().comments.push(text);
            said(json!({"Comment": {"id": "1"}}))
        }
        other => panic!("TAPD knows no {other:?}"),
    }
}

fn tapd_line(server: &Server, workspace: &str) -> Line {
    let yaml = format!(
        "{{name: r, kind: tapd, base: '{}', user: api-user, token: {{env: T}}, project: '{workspace}', labels: [crash], \
         reporter: holdfast}}",
        server.base
    );
    Line::new(&yaml, &[("T", "canary-token-4")])
}

#[tokio::test]
async fn tapd_keeps_one_bug_per_group() {
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let server = Server::start(move |came| tapd(came, &inner)).await;
    life(&tapd_line(&server, "10158231"), &shelf, "101015810001").await;
    let outcome = tapd_line(&server, "1").send(&ticket(Open, None)).await;
    assert!(
        matches!(&outcome, Outcome::Refused { answer } if answer.contains("workspace not found")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn any_program_can_keep_tickets() {
    let server = Server::start(|came| {
        let body = came.json();
        assert!(came.header("webhook-signature").starts_with("v1,"));
        assert_eq!(
            (&body["type"], &body["data"]["marker"]),
            (&json!("crash_group.ticket"), &json!("holdfast-g1"))
        );
        match body["data"]["action"].as_str() {
            Some("open") => json(200, &json!({"ticket": "T-9", "url": "https://t/9"})),
            Some("close") if body["data"]["ticket"] == "T-9" => (204, Vec::new(), String::new()),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let yaml = "{name: r, kind: ticket_webhook, url: {env: U}, secret: {env: S}}";
    let line = Line::new(yaml, &[("U", &server.base), ("S", "plain secret")]);
    let outcome = line.send(&ticket(Open, None)).await;
    let Outcome::Accepted { ticket: Some(found), .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(found, &("T-9".to_owned(), Some("https://t/9".to_owned())));
    let outcome = line.send(&ticket(Close, Some("T-9"))).await;
    assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    // A message that is about no ticket stays here.
    let parcel: Parcel = crate::server::parcel(crate::server::plain("x"));
    assert_eq!(words(&line.send(&parcel).await).0, "later");
}
