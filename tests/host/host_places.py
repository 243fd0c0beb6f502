"""The classes and files of the host that hold, take or make a model, as they are known."""

# The attributes, fields and arguments that hold a model, or something that does, and the classes
# that have them.
_HOLDERS = {
    "chunking_strategy": """
        knowledge.reader.arxiv_reader.ArxivReader knowledge.reader.base.Reader
        knowledge.reader.csv_reader.CSVReader knowledge.reader.docling_reader.DoclingReader
        knowledge.reader.docx_reader.DocxReader knowledge.reader.excel_reader.ExcelReader
        knowledge.reader.firecrawl_reader.FirecrawlReader
        knowledge.reader.json_reader.JSONReader
        knowledge.reader.llms_txt_reader.LLMsTxtReader
        knowledge.reader.markdown_reader.MarkdownReader
        knowledge.reader.pdf_reader.BasePDFReader knowledge.reader.pptx_reader.PPTXReader
        knowledge.reader.s3_reader.S3Reader knowledge.reader.sitemap_reader.SitemapReader
        knowledge.reader.tavily_reader.TavilyReader knowledge.reader.text_reader.TextReader
        knowledge.reader.web_search_reader.WebSearchReader
        knowledge.reader.website_reader.WebsiteReader
        knowledge.reader.wikipedia_reader.WikipediaReader
        knowledge.reader.youtube_reader.YouTubeReader
    """,
    "model": """
        agent.followup.FollowupConfig agent.followup.FollowupCall
        compaction.compaction.Compaction company.config.CompanyConfig
        compression.manager.CompressionManager context.provider.ContextProvider
        knowledge.chunking.agentic.AgenticChunking knowledge.query_transformer.hyde.HyDE
        learn.config.UserProfileConfig learn.config.UserMemoryConfig
        learn.config.SessionContextConfig learn.config.LearnedKnowledgeConfig
        learn.config.EntityMemoryConfig learn.config.DecisionLogConfig
        learn.machine.LearningMachine memory.manager.MemoryManager scorer.judge.JudgeScorer
        session.summary.SessionSummaryManager workflow.agent.WorkflowAgent
    """,
    "embedder reranker": """
        vectordb.chroma.chromadb.ChromaDb vectordb.elasticsearch.elasticsearch.Elasticsearch
        vectordb.lancedb.lance_db.LanceDb vectordb.milvus.milvus.Milvus
        vectordb.opensearch.opensearch.OpenSearch vectordb.pgvector.pgvector.PgVector
        vectordb.pineconedb.pineconedb.PineconeDb vectordb.qdrant.qdrant.Qdrant
        vectordb.redis.redisdb.RedisDb vectordb.singlestore.singlestore.SingleStore
        vectordb.upstashdb.upstashdb.UpstashVectorDb vectordb.valkey.valkeydb.ValkeyDb
        vectordb.weaviate.weaviate.Weaviate
    """,
    "embedder": """
        knowledge.chunking.semantic.SemanticChunking knowledge.document.base.Document
        vectordb.cassandra.cassandra.Cassandra vectordb.clickhouse.clickhousedb.Clickhouse
        vectordb.couchbase.couchbase.CouchbaseSearch vectordb.mongodb.mongodb.MongoDb
        vectordb.surrealdb.surrealdb.SurrealDb
    """,
    "_agent model": """
        context.fs.provider.FilesystemContextProvider
        context.gdrive.provider.GoogleDriveContextProvider
        context.mcp.provider.MCPContextProvider context.web.provider.WebContextProvider
        context.workspace.provider.WorkspaceContextProvider
    """,
    "_read_agent _write_agent model": """
        context.calendar.provider.GoogleCalendarContextProvider
        context.database.provider.DatabaseContextProvider
        context.gmail.provider.GmailContextProvider
        context.wiki.provider.WikiContextProvider
    """,
    "agent": """
        agents.base._LiveHandle environments.environment.Environment
    """,
    "client": """
        remote.base.RemoteDb remote.base.RemoteKnowledge
    """,
    "include_agents include_teams include_workflows": """
        tools.studio.StudioTools tools.studio_runner.StudioRunnerTools
    """,
    "_assisted_read_agent _bot_read_agent _write_agent model": """
        context.slack.provider.SlackContextProvider
    """,
    "_learning compaction compression_manager fallback_config fallback_models "
    "followup_model followups learning memory_manager model output_model parser_model"
    " reasoning_agent reasoning_model session_summary_manager ": """
        agent.agent.Agent
    """,
    "_learning compression_manager fallback_config fallback_models followup_model "
    "followups learning members memory_manager model output_model parser_model "
    "reasoning_agent reasoning_model session_summary_manager ": """
        team.team.Team
    """,
    "_morph_client": """
        tools.models.morph.MorphTools
    """,
    "_reasoning_agent reasoning_model": """
        reasoning.manager.ReasoningManager
    """,
    "advisors": """
        tools.advisor.AdvisorTools
    """,
    "agent evaluator_agent model team": """
        eval.accuracy.AccuracyEval
    """,
    "agent judge_model team": """
        eval.suite.Case
    """,
    "agent team workflow": """
        workflow.step.Step
    """,
    "agents models teams workflows": """
        registry.registry.Registry
    """,
    "agno_embedder": """
        knowledge.chunking.semantic._ChonkieEmbedderWrapper
    """,
    "async_client openai_client": """
        knowledge.embedder.openai.OpenAIEmbedder
    """,
    "async_remote_client remote_client": """
        knowledge.embedder.vllm.VLLMEmbedder
    """,
    "evaluator_agent model": """
        eval.agent_as_judge.AgentAsJudgeEval
    """,
    "prepared_steps": """
        workflow.workflow.Workflow
    """,
    "query_transformer reranker": """
        knowledge.knowledge.Knowledge
    """,
    "reasoning_agent reasoning_model": """
        reasoning.manager.ReasoningConfig
    """,
    "text_to_speech_format text_to_speech_model text_to_speech_voice": """
        tools.openai.OpenAITools
    """,
    "workflow": """
        tools.workflow.WorkflowTools
    """,
}
KNOWN_HOLDERS = {
    kind: set(names.split()) for names, kinds in _HOLDERS.items() for kind in kinds.split()
}
# Files in which a model or embedder of the host's choice is imported while it runs.
KNOWN_DEFAULTS = {
    "agent._init",
    "eval.accuracy",
    "eval.agent_as_judge",
    "knowledge.chunking.agentic",
    "knowledge.chunking.semantic",
    "knowledge.document.base",
    "knowledge.page._coordinator",
    "knowledge.query_transformer.hyde",
    "memory.manager",
    "reasoning.openai",
    "team._init",
    "tools.models.aimlapi",
    "tools.models.nebius",
    "tools.xai_auth",
    "vectordb.cassandra.cassandra",
    "vectordb.chroma.chromadb",
    "vectordb.clickhouse.clickhousedb",
    "vectordb.couchbase.couchbase",
    "vectordb.elasticsearch.elasticsearch",
    "vectordb.lancedb.lance_db",
    "vectordb.milvus.milvus",
    "vectordb.mongodb.mongodb",
    "vectordb.opensearch.opensearch",
    "vectordb.pgvector.pgvector",
    "vectordb.pineconedb.pineconedb",
    "vectordb.qdrant.qdrant",
    "vectordb.redis.redisdb",
    "vectordb.singlestore.singlestore",
    "vectordb.surrealdb.surrealdb",
    "vectordb.upstashdb.upstashdb",
    "vectordb.valkey.valkeydb",
    "vectordb.weaviate.weaviate",
}
# Files outside of the embedders and rerankers that import a provider's package.
KNOWN_CLIENTS = {
    "guardrails.openai",
    "knowledge.remote_content.s3",
    "media.storage.s3.async_s3",
    "media.storage.s3.s3",
    "media.storage.s3.utils",
    "sandbox.agentcore.sandbox",
    "sandbox.s3",
    "tools.aws_lambda",
    "tools.aws_ses",
    "tools.cartesia",
    "tools.dalle",
    "tools.eleven_labs",
    "tools.fal",
    "tools.lumalab",
    "tools.models.gemini",
    "tools.models.groq",
    "tools.models.morph",
    "tools.nano_banana",
    "tools.openai",
    "tools.replicate",
}
