"""Words that look like names where they stand, and are none."""

from __future__ import annotations

__all__ = [
    "COMMON",
    "COMPANIES",
    "COUNTRIES",
    "GROUPS",
    "MONTHS",
    "NOT_NAMES",
    "NOT_PLACES",
    "PEOPLES",
    "TEAM",
    "TECHNICAL",
    "THINGS",
    "listed",
]


def listed(text: str, separator: str | None = None) -> frozenset[str]:
    """The words of a text, or its parts between separators."""
    return frozenset(" ".join(part.split()) for part in text.split(separator))


COMMON = listed(
    """
    a about after again all also an and any anyone are as at back be because been before being
    best both but by can cannot could did do does doing done down each even every everyone few
    first for from further get go good got great had has have having he hello her here hers hey
    hi him his hmm how i if in into is it its just know last later let like ll look made make
    many may maybe me might mine more most much must my new next no none nor not nothing now of
    off ok okay on once one only or other our ours out over own please re really regarding right
    said same say see send shall she should since so some someone soon still such sure sorry
    take tell than thank thanks that the their theirs them then there these they this those
    through to today tomorrow tonight too under until up update us use ve very via was we
    welcome well were what when where whether which while who whom whose why will with without
    won't would yes yesterday yet you your yours yourself i'm i've i'll i'd you're you've it's
    that's don't can't let's there's here's what's he's she's we're they're isn't doesn't didn't
    speaking calling looking trying going unable able happy glad afraid fine writing contacting
    interested available currently actually already based born called named known unsure ready
    originally ask spelled misspelled wrong missing incorrect listed required empty hola
    bonjour hallo
    ciao olá merhaba hej ahoj cześć daytime
    """
)
_CALENDAR = listed(
    """
    monday tuesday wednesday thursday friday saturday sunday january february march april june
    july august september october november december spring summer autumn fall winter easter
    christmas morning afternoon evening night noon
    """
)
# Months, in full and as they are shortened: beside a number they are no names.
MONTHS = listed(
    """
    january february march april may june july august september october november december jan feb
    mar apr jun jul aug sep sept oct nov dec
    """
)
# The roles of a team, which speak of each other in prompts and reasons; by themselves no surname.
TEAM = frozenset({"planner", "critic", "judge", "runner"})
_ROLES = listed(
    """
    support team sales service customer client user admin administrator assistant agent bot
    system human manager director engineer doctor nurse account accounts billing help desk
    office department staff member members everyone colleagues sir madam friend folks all dad
    mom mother father president king queen princess prince royal border force team's sender
    recipient hr it legal finance marketing security operations ops dev devops qa
    """
)
# What a company is called after its name.
COMPANIES = listed("inc llc ltd limited corp corporation gmbh plc llp ag bv sa co company group")
THINGS = listed(
    """
    name names address addresses email e-mail phone mobile card cards number numbers date time
    id account street road avenue lane drive suite apt unit floor box zip city state country
    company inc llc ltd corp gmbh plc group holdings university school college hospital bank
    hotel restaurant museum park airport station church court act article section chapter
    version release beta alpha final subject meeting notes agenda sale offer chairs tables
    garden orchestra hate tales pleasures discipline wisdom salesperson reserves draft order
    ticket invoice project plan task issue bug feature branch file folder page table column row
    key value string integer boolean object array list null none true false undefined error
    warning info debug success failure status code type class function method variable constant
    import export return def async await public private static void select insert update delete
    where join http https html css json xml yaml csv sql api url uri ip tcp udp dns ssl tls ssh
    ftp get post put patch head options staging production deploy deployment server client
    cluster node pod container image service database cache queue topic worker job pipeline
    build test tests run runner planner critic judge gate model prompt token tokens tool tools
    gateway north south east west northern southern eastern western central upper lower new old
    big little great saint san los las white black red blue green brown gray grey band song
    album film movie book title novel story news times journal magazine weekly daily internet
    web site website blog online app software hardware network cloud data center centre st ave
    rd blvd dr ln ct pl sq hwy pkwy way terrace close crescent square place hill hills valley
    lake river mountain island islands beach bay coast bridge tower hall house building plaza
    mall market store shop cafe bar pub club insurance technologies technology solutions systems
    services partners associates consulting capital ventures energy foundation institute
    association society union federation council committee commission ministry agency bureau
    platform world tea coffee wine cake sponge kit tin bottle pack set bundle edition series
    theme skin mode line desk dock receiving plugin squad guild tribe crew shipment crate pro lite
    plus max mini ultra premium basic standard enterprise starter surname forename applicant
    gender occupation
    signature residence mobile landline callback traceback stacktrace stack trace cheers greetings
    reservation booking passenger attachment reply forwarded summary transcript observation
    cardholder payee payer expiry category priority assignee severity resolution
    reward rewards member membership club suite guest visitor vendor supplier carrier courier
    input answer value field string integer boolean tuple literal
    """
)
TECHNICAL = listed(
    """
    kubernetes docker postgres postgresql mysql sqlite redis mongodb kafka rabbitmq nginx apache
    jenkins gitlab github git terraform ansible helm prometheus grafana datadog sentry splunk
    elasticsearch kibana logstash fluentd istio envoy python java javascript typescript rust
    golang ruby perl scala kotlin swift php node nodejs deno bun npm yarn pip pypi react angular
    vue svelte django flask fastapi spring rails laravel express nextjs webpack vite babel
    eslint prettier pytest jest mocha junit selenium playwright cypress aws azure gcp lambda s3
    ec2 rds iam vpc cloudfront cloudflare heroku vercel netlify openai anthropic claude gemini
    llama mistral gpt chatgpt copilot langchain agno portkey presidio pandas numpy scipy pytorch
    tensorflow keras sklearn spacy jupyter matplotlib excel word powerpoint outlook slack teams
    zoom jira confluence trello asana notion figma salesforce hubspot stripe paypal visa
    mastercard amex discover maestro linux ubuntu debian fedora centos windows macos android ios
    iphone ipad chrome firefox safari edge json xml yaml csv html css http https rest grpc
    graphql oauth jwt saml ldap sso mfa otp api sdk cli ui ux url uri iban bic ssn ein itin vin
    pin cvv cvc zip dob eta faq kpi okr roi sla slo rpo rto ci cd pr mr qa uat todo fixme readme
    changelog makefile dockerfile runbook webhook cron crontab bash zsh vim emacs vscode
    intellij tableau snowflake bigquery databricks airflow dagster dbt spark hadoop hive flink
    maven gradle circleci bamboo fargate kinesis redshift athena sagemaker firebase zookeeper consul
    vagrant puppet scylla neo4j couchdb dynamodb memcached traefik haproxy podman openshift rancher
    sonarqube artifactory nexus bazel cmake homebrew chocolatey deploybot dependabot renovate
    celery gunicorn uvicorn asap atm id cc bcc fyi eod eow tbd tba n/a pto ooo siri alexa
    cortana bard grok whisper dall-e unicode ascii utf base64 regex markdown latex pdf png jpeg
    """
)
# Countries, and what their people are called: they are no names of people.
COUNTRIES = listed(
    """
    afghanistan, albania, algeria, andorra, angola, argentina, armenia, australia, austria,
    azerbaijan, bahamas, bahrain, bangladesh, barbados, belarus, belgium, belize, benin, bhutan,
    bolivia, bosnia, botswana, brazil, brunei, bulgaria, burundi, cambodia, cameroon, canada,
    chile, china, colombia, congo, costa rica, croatia, cuba, cyprus, czech republic, czechia,
    denmark, ecuador, egypt, el salvador, england, eritrea, estonia, ethiopia, fiji, finland,
    france, gabon, gambia, germany, ghana, greece, greenland, guatemala, guinea, guyana, haiti,
    honduras, hungary, iceland, india, indonesia, iran, iraq, ireland, israel, italy, jamaica,
    japan, kazakhstan, kenya, kosovo, kuwait, kyrgyzstan, laos, latvia, lebanon, liberia, libya,
    liechtenstein, lithuania, luxembourg, madagascar, malawi, malaysia, maldives, mali, malta,
    mauritius, mexico, moldova, monaco, mongolia, montenegro, morocco, mozambique, myanmar,
    namibia, nepal, netherlands, new zealand, nicaragua, niger, nigeria, north macedonia,
    norway, oman, pakistan, panama, paraguay, peru, philippines, poland, portugal, qatar,
    romania, russia, rwanda, saudi arabia, scotland, senegal, serbia, sierra leone, singapore,
    slovakia, slovenia, somalia, south africa, south korea, spain, sri lanka, sudan, suriname,
    sweden, switzerland, syria, taiwan, tajikistan, tanzania, thailand, togo, tunisia, turkey,
    turkmenistan, uganda, ukraine, united arab emirates, united kingdom, united states, uruguay,
    uzbekistan, venezuela, vietnam, wales, yemen, zambia, zimbabwe
    """,
    ",",
)
PEOPLES = listed(
    """
    afghan albanian algerian american andorran angolan argentine argentinian armenian australian
    austrian azerbaijani bahamian bahraini bangladeshi barbadian belarusian belgian belizean
    belizian beninese bhutanese bolivian bosnian botswanan brazilian british bruneian bulgarian
    burmese burundian cambodian cameroonian canadian chadian chilean chinese colombian congolese
    croatian cuban cypriot czech danish dane dutch ecuadorian egyptian emirati english eritrean
    estonian ethiopian european fijian filipino finnish finn french gabonese gambian georgian
    german ghanaian greek greenlander guatemalan guinean guyanese haitian honduran hungarian
    icelandic icelander indian indonesian iranian iraqi irish israeli italian jamaican japanese
    jordanian kazakh kenyan korean kuwaiti kyrgyz laotian latvian lebanese liberian libyan
    lithuanian luxembourgish macedonian malagasy malawian malaysian maldivian malian maltese
    mauritian mexican moldovan mongolian montenegrin moroccan mozambican namibian nepalese
    nepali nicaraguan nigerian norwegian omani pakistani palestinian panamanian paraguayan
    peruvian polish portuguese qatari romanian russian rwandan salvadoran saudi scottish scot
    senegalese serbian singaporean slovak slovakian slovene slovenian somali spanish spaniard
    sudanese surinamese swedish swede swiss syrian taiwanese tajik tanzanian thai togolese
    tunisian turkish turk ugandan ukrainian uruguayan uzbek venezuelan vietnamese welsh yemeni
    zambian zimbabwean african asian arab catholic protestant christian muslim jewish jew hindu
    buddhist sikh sunni shia shii mormon atheist lutheran methodist baptist orthodox
    """
)
# A place before one of these is what some people or machines are called.
GROUPS = listed(
    """
    team teams squad guild tribe crew chapter cluster clusters node nodes pod release branch theme
    plugin pipeline build sprint milestone project codename
    """
)
NOT_NAMES = COMMON | _CALENDAR | _ROLES | THINGS | TECHNICAL | PEOPLES
# Some of them are parts of the names of places.
NOT_PLACES = NOT_NAMES - listed(
    """
    march san los las new north south east west hill beach park st saint great lake river island
    islands bay valley mountain united old white black red blue green brown little big upper lower
    hills coast the of city state central northern southern eastern western
    """
)
