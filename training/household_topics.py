"""What the intents of HWU64 are about, in words: whole topics as agents are described by what they hold."""

from __future__ import annotations

# Topic -> what an agent of this name would be called, and its intents. Reactions ("yes", "repeat that") are left out:
# they are no agent's.
TOPICS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "alarm": (
        ("Alarm clock", "alarms", "Wake-up calls"),
        {"alarm_query": "which alarms are set", "alarm_remove": "switching off or deleting alarms",
         "alarm_set": "waking the user at a time"},
    ),
    "audio": (
        ("Sound", "volume control", "Loudspeakers"),
        {"audio_volume_down": "making it quieter", "audio_volume_mute": "muting", "audio_volume_up": "louder"},
    ),
    "calendar": (
        ("Calendar", "diary and appointments", "Meeting planner"),
        {"calendar_query": "what is on today or next week", "calendar_remove": "cancelling appointments",
         "calendar_set": "new events, meetings and reminders"},
    ),
    "cooking": (("Recipes", "kitchen help", "Cook"), {"cooking_recipe": "how to cook a dish, what goes in"}),
    "datetime": (
        ("Clock", "date and time", "Time zones"),
        {"datetime_convert": "converting times between zones", "datetime_query": "today's date, the time in a city"},
    ),
    "email": (
        ("Mail", "e-mail and contacts", "Inbox"),
        {"email_addcontact": "saving a new contact", "email_query": "new and unread mail",
         "email_querycontact": "numbers and addresses of contacts", "email_sendemail": "writing mail"},
    ),
    "iot": (
        ("Smart home", "devices at home", "House control"),
        {"iot_cleaning": "the robot vacuum", "iot_coffee": "making coffee", "iot_hue_lightchange": "colour of lamps",
         "iot_hue_lightdim": "dimming", "iot_hue_lightoff": "lights off", "iot_hue_lighton": "lights on",
         "iot_hue_lightup": "brighter light", "iot_wemo_off": "switching off plugs", "iot_wemo_on": "sockets on"},
    ),
    "lists": (
        ("Lists", "to-do and shopping lists", "Notes"),
        {"lists_createoradd": "starting a list or adding to it", "lists_query": "what is on a list",
         "lists_remove": "taking things off a list"},
    ),
    "music": (
        ("Music taste", "songs", "Music library"),
        {"music_likeness": "likes and dislikes of songs", "music_query": "which song or artist this is",
         "music_settings": "repeat, shuffle, equaliser"},
    ),
    "news": (("News", "headlines", "Press review"), {"news_query": "the latest news on a subject, headlines"}),
    "play": (
        ("Player", "entertainment", "Media at home"),
        {"play_audiobook": "audiobooks", "play_game": "games", "play_music": "playing songs and playlists",
         "play_podcasts": "podcasts", "play_radio": "radio stations"},
    ),
    "qa": (
        ("Facts", "questions about the world", "Reference desk"),
        {"qa_currency": "exchange rates", "qa_definition": "what a word means", "qa_factoid": "people and places",
         "qa_maths": "sums", "qa_stock": "share prices"},
    ),
    "recommendation": (
        ("Going out", "tips for leisure", "What to do"),
        {"recommendation_events": "events near by", "recommendation_locations": "shops and places to go",
         "recommendation_movies": "films that are on"},
    ),
    "social": (
        ("Social media", "posts and feeds", "Networks"),
        {"social_post": "posting and tweeting", "social_query": "what friends have posted"},
    ),
    "takeaway": (
        ("Takeaway", "food delivery", "Meals to the door"),
        {"takeaway_order": "ordering a meal", "takeaway_query": "whether a restaurant delivers, state of an order"},
    ),
    "transport": (
        ("Getting around", "trains, taxis and traffic", "Local travel"),
        {"transport_query": "timetables and directions", "transport_taxi": "calling a taxi",
         "transport_ticket": "train tickets", "transport_traffic": "jams and road conditions"},
    ),
    "weather": (("Weather", "forecast", "Outdoors"), {"weather_query": "rain, temperature, wind, the forecast"}),
}  # fmt: skip
