"""What a process of the cloud edition needs in its environment to start; nothing is at the URLs."""

PROJECT = "test-project"
CLOUD = {
    "EDITION": "cloud",
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "IMAGES_BUCKET": "images",
    "SCORER_URL": "http://127.0.0.1:9",
    "PIXABAY_API_KEY": "key",
}
