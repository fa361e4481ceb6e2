"""What the course's apps are made of: 14 categories of honest apps, nine libraries, and six families of payloads.

A function is a line "EVENT SHARE CALLS": the share of the apps that have it, and its calls, separated by "|". `?NAME` before the
calls guards them with a permission that the app does not request. All names and addresses are invented.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """A category of honest apps.

    Attributes:
        functions: of its apps.
        screens: activities that a tap opens.
        hardware: what its apps declare.
        spare: permissions that its apps request without need, as many real apps do (Felt et al., CCS 2011).
        hosts: how likely a payload hides in it, as a weight; honest apps are spread evenly.
    """

    functions: tuple[str, ...]
    screens: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    hosts: float = 0.1


CATEGORIES = {
    "torch": Category(
        (
            "tap 1 Torch.setMode on",
            "tap .4 Torch.setMode morse|Vibrator.vibrate tick",
            "launch .4 WakeLock.acquire light",
        ),
        (".ScreenLightActivity",),
        ("camera.flash", "camera"),
        spare=("EXPAND_STATUS_BAR",),
        hosts=1.5,
    ),
    "game": Category(
        (
            "launch .9 Canvas.draw board",
            "tap .7 MediaPlayer.start jingle",
            "tap .5 Vibrator.vibrate hit",
            "launch .4 WakeLock.acquire game",
            "launch .3 System.loadLibrary engine",
        ),
        (".LevelActivity", ".ScoresActivity"),
        ("screen.portrait", "sensor.accelerometer"),
        spare=("VIBRATE", "INSTALL_SHORTCUT"),
        hosts=3,
    ),
    "wallpaper": Category(
        (
            "tap 1 WallpaperManager.setBitmap sea",
            "tap .5 HttpURLConnection.get pictures.example|MediaStore.insert sea.jpg",
        ),
        (".GalleryActivity",),
        ("touchscreen",),
        spare=("SET_WALLPAPER_HINTS",),
        hosts=3,
    ),
    "music player": Category(
        (
            "tap 1 MediaPlayer.start song",
            "launch .6 WakeLock.acquire music",
            "tap .3 BluetoothAdapter.startDiscovery headset",
        ),
        (".AlbumActivity", ".PlaylistActivity"),
        ("bluetooth",),
        spare=("MODIFY_AUDIO_SETTINGS", "BLUETOOTH"),
        hosts=2,
    ),
    "messenger": Category(
        (
            "tap .8 SmsManager.sendTextMessage friend",
            "tap .7 Contacts.query friends",
            "sms .7 Notification.notify message",
            "boot .5 Notification.notify ready",
            "tap .4 AudioRecord.read note|HttpURLConnection.post chat.example",
        ),
        (".ChatActivity", ".ContactsActivity"),
        ("telephony", "microphone"),
        spare=("VIBRATE", "READ_SYNC_SETTINGS"),
        hosts=0.4,
    ),
    "camera": Category(
        (
            "tap 1 Camera.takePicture view|MediaStore.insert view.jpg",
            "tap .4 LocationManager.getLastKnownLocation place",
            "tap .4 AudioRecord.read film",
        ),
        (".GalleryActivity", ".EditActivity"),
        ("camera", "camera.autofocus", "camera.flash"),
        spare=("READ_EXTERNAL_STORAGE",),
        hosts=0.6,
    ),
    "fitness": Category(
        (
            "tap .9 LocationManager.getLastKnownLocation route",
            "launch .7 SensorManager.read steps",
            "tap .6 BluetoothAdapter.startDiscovery belt",
            "boot .4 SharedPreferences.put steps",
        ),
        (".MapActivity", ".HistoryActivity"),
        ("sensor.accelerometer", "sensor.heartrate", "sensor.stepcounter", "location.gps"),
        hosts=0.3,
        spare=("BODY_SENSORS", "BLUETOOTH"),
    ),
    "weather": Category(
        (
            "tap .8 LocationManager.getLastKnownLocation town|HttpURLConnection.post weather.example",
            "unlock .6 TextView.setText forecast",
            "network .5 HttpURLConnection.get weather.example",
        ),
        (".MapActivity",),
        ("location", "location.network", "sensor.barometer"),
        spare=("ACCESS_COARSE_LOCATION", "READ_SYNC_SETTINGS"),
        hosts=0.8,
    ),
    "alarm clock": Category(
        (
            "tap 1 AlarmManager.set 7:00",
            "boot .9 AlarmManager.set 7:00",
            "launch .6 WakeLock.acquire alarm",
            "tap .5 Vibrator.vibrate alarm",
            "tap .3 KeyguardManager.disableKeyguard alarm",
        ),
        (".SettingsActivity",),
        ("sensor.light",),
        spare=("MODIFY_AUDIO_SETTINGS", "SET_ALARM"),
        hosts=0.6,
    ),
    "notes": Category(
        (
            "tap .9 SharedPreferences.put note",
            "tap .5 Calendar.query week",
            "tap .4 MediaStore.insert notes.txt",
            "tap .3 ClipboardManager.getText note",
            "network .4 HttpURLConnection.get notes.example",
        ),
        (".EditActivity", ".SettingsActivity"),
        ("screen.portrait", "microphone"),
        spare=("WRITE_CALENDAR", "READ_SYNC_SETTINGS"),
        hosts=0.15,
    ),
    "browser": Category(
        (
            "tap 1 HttpURLConnection.get start.example|WebView.render start",
            "tap .5 MediaStore.insert page.html",
            "tap .3 LocationManager.getLastKnownLocation search",
        ),
        (".BookmarksActivity", ".DownloadsActivity", ".SettingsActivity"),
        ("touchscreen", "microphone"),
        spare=("INSTALL_SHORTCUT", "READ_EXTERNAL_STORAGE"),
        hosts=0.8,
    ),
    "navigation": Category(
        (
            "tap 1 LocationManager.getLastKnownLocation road|HttpURLConnection.post roads.example",
            "tap .5 WifiManager.getScanResults place",
            "launch .6 WakeLock.acquire road",
        ),
        (".MapActivity", ".HistoryActivity"),
        ("location", "location.gps", "sensor.compass", "sensor.gyroscope"),
        spare=("ACCESS_COARSE_LOCATION", "CHANGE_WIFI_MULTICAST_STATE"),
    ),
    "banking": Category(
        (
            "tap 1 Cipher.doFinal account|HttpURLConnection.post bank.example",
            "tap .6 FingerprintManager.authenticate login",
            "tap .5 Camera.takePicture bill",
            "tap .4 TelephonyManager.getDeviceId login|HttpURLConnection.post bank.example",
            "sms .3 Notification.notify code",
        ),
        (".LoginActivity", ".TransferActivity"),
        ("fingerprint", "nfc", "camera"),
        spare=("USE_FINGERPRINT", "NFC", "READ_EXTERNAL_STORAGE"),
        hosts=0.05,
    ),
    "radio": Category(
        (
            "tap 1 HttpURLConnection.get radio.example|MediaPlayer.start station",
            "launch .6 WakeLock.acquire radio",
            "network .5 ConnectivityManager.getActiveNetworkInfo radio",
            "tap .4 TelephonyManager.call studio",
        ),
        (".StationsActivity", ".PlaylistActivity"),
        ("bluetooth", "wifi"),
        spare=("CHANGE_WIFI_MULTICAST_STATE", "BLUETOOTH"),
        hosts=1.0,
    ),
}

# Risky calls that honest apps make when the owner taps, and what their receivers do.
RISKY = (
    "tap .08 SmsManager.sendTextMessage invitation",
    "tap .08 Contacts.query all|HttpURLConnection.post backup.example",
    "tap .06 Sms.query all|HttpURLConnection.post backup.example",
    "tap .05 WindowManager.addView bubble",
    "tap .05 HttpURLConnection.get plugins.example|DexClassLoader.loadClass plugins.example",
    "tap .08 TelephonyManager.getDeviceId licence|HttpURLConnection.post licence.example",
    "tap .05 CallLog.query missed",
    "tap .05 Runtime.exec df",
    "tap .06 PackageManager.getInstalledPackages share",
    "launch .08 Base64.decode icons",
    "launch .05 Cipher.doFinal settings",
    "launch .05 Method.invoke theme",
    "boot .10 Notification.notify welcome",
    "unlock .07 TextView.setText widget",
    "network .08 HttpURLConnection.get news.example",
    "sms .06 Notification.notify message",
)
# What only some apps do, if another permission lets them.
OPTIONAL = (
    "launch .12 ?ACCESS_FINE_LOCATION LocationManager.getLastKnownLocation town|TextView.setText town",
    "launch .10 ?VIBRATE Vibrator.vibrate hello",
    "launch .10 ?READ_CALENDAR Calendar.query today",
    "launch .10 ?BLUETOOTH_ADMIN BluetoothAdapter.startDiscovery speaker",
    "launch .08 ?CAMERA Camera.takePicture face",
    "launch .08 ?GET_ACCOUNTS AccountManager.getAccounts all",
    "launch .15 ?NFC NfcAdapter.dispatch tag",
    "launch .15 ?USE_FINGERPRINT FingerprintManager.authenticate lock",
    "launch .08 ?WRITE_EXTERNAL_STORAGE MediaStore.insert cache",
    "launch .15 ?BODY_SENSORS SensorManager.read pulse",
    "launch .15 ?BLUETOOTH Notification.notify headset",
    "launch .15 ?ACCESS_COARSE_LOCATION TextView.setText region",
    "launch .15 ?READ_SYNC_SETTINGS TextView.setText synchronised",
    "launch .15 ?WRITE_CALENDAR SharedPreferences.put date",
    "launch .15 ?CHANGE_WIFI_MULTICAST_STATE Notification.notify speakers",
    "launch .15 ?MODIFY_AUDIO_SETTINGS MediaPlayer.start hello",
    "launch .15 ?READ_EXTERNAL_STORAGE ImageView.setImage newest",
)


@dataclass(frozen=True)
class Library:
    """A library that apps have inside them.

    Attributes:
        package: of its classes.
        honest, hosts: the share of honest apps, and of apps with a payload, that have it.
        functions: as those of a category.
        declares: its components, "KIND NAME".
    """

    package: str
    honest: float
    hosts: float
    functions: tuple[str, ...]
    declares: tuple[str, ...] = ()


LIBRARIES = (
    Library(
        "com.bannerworks.ads",
        0.4,
        0.55,
        (
            "launch 1 ConnectivityManager.getActiveNetworkInfo ads|HttpURLConnection.get ads.bannerworks.example",
            "launch .7 ?ACCESS_FINE_LOCATION LocationManager.getLastKnownLocation ads"
            "|HttpURLConnection.post ads.bannerworks.example",
        ),
        ("activity .AdActivity",),
    ),
    Library(
        "com.popfield.ads",
        0.2,
        0.4,
        (
            "launch 1 HttpURLConnection.get popfield.example|WebView.render ad",
            "launch .7 ?READ_PHONE_STATE TelephonyManager.getDeviceId ads|HttpURLConnection.post popfield.example",
        ),
        ("activity .FullScreenAd", "service .Prefetch"),
    ),
    Library(
        "com.tallyhub.analytics",
        0.45,
        0.35,
        (
            "launch 1 HttpURLConnection.post tallyhub.example",
            "launch .6 ?ACCESS_WIFI_STATE WifiManager.getScanResults statistics",
        ),
        ("receiver .InstallReceiver",),
    ),
    Library(
        "com.crashnote",
        0.35,
        0.15,
        (
            "launch 1 SharedPreferences.put session|HttpURLConnection.post crashnote.example",
            "launch .6 ?GET_TASKS ActivityManager.getRunningTasks reports",
        ),
        ("provider .StartProvider",),
    ),
    Library(
        "com.pushbell",
        0.3,
        0.2,
        (
            "boot 1 Notification.notify news",
            "network .7 HttpURLConnection.get pushbell.example",
            "launch .6 ?WAKE_LOCK WakeLock.acquire push",
        ),
        ("service .PushService",),
    ),
    Library(
        "com.payslip",
        0.2,
        0.06,
        (
            "tap 1 Cipher.doFinal card|HttpURLConnection.post payslip.example",
            "tap .6 ?NFC NfcAdapter.dispatch card",
        ),
        ("activity .PayActivity",),
    ),
    Library(
        "com.mapleaf",
        0.2,
        0.08,
        ("tap 1 LocationManager.getLastKnownLocation map|HttpURLConnection.get tiles.mapleaf.example",),
        ("activity .MapView",),
    ),
    Library(
        "com.friendlogin",
        0.25,
        0.12,
        (
            "tap 1 HttpURLConnection.post friendlogin.example",
            "tap .6 ?GET_ACCOUNTS AccountManager.getAccounts login",
        ),
        ("activity .LoginActivity",),
    ),
    Library(
        "com.freshbuild.update",
        0.12,
        0.15,
        ("tap 1 HttpURLConnection.get freshbuild.example|DexClassLoader.loadClass freshbuild.example",),
        ("service .Download",),
    ),
)

# Family -> the calls that make it harmful; {host} is one of `SERVERS`, and "/" separates variants.
PAYLOADS = {
    "premium SMS": (
        "boot/unlock/launch",
        "SmsManager.sendTextMessage 90000/SmsManager.sendTextMessage 81234",
    ),
    "spy": (
        "boot/unlock/network",
        "Contacts.query all|{post}/Sms.query all|{post}/LocationManager.getLastKnownLocation track|{post}"
        "/CallLog.query all|Contacts.query all|{post}/AudioRecord.read room|{post}",
    ),
    "dropper": (
        "launch/network/boot",
        "{get}|DexClassLoader.loadClass {host}/{get}|Runtime.exec su|DexClassLoader.loadClass {host}",
    ),
    "overlay": (
        "unlock/boot/network",
        "WindowManager.addView pay-to-unlock/ActivityManager.getRunningTasks banks|WindowManager.addView login",
    ),
    "code thief": (
        "sms",
        "Sms.query last|{post}/Sms.query last|TelephonyManager.getSubscriberId owner|{post}",
    ),
    "tracker": (
        "network/launch/unlock",
        "TelephonyManager.getDeviceId track|{post}/TelephonyManager.getDeviceId track"
        "|PackageManager.getInstalledPackages track|{post}/AccountManager.getAccounts all|{post}",
    ),
}
SERVERS = (
    "203.0.113.7",
    "203.0.113.66",
    "198.51.100.23",
    "c.track-you.example",
    "up.freegift.example",
    "cdn.freegift.example",
    "backup.example",
    "news.example",
    "plugins.example",
    "licence.example",
)
DISGUISES = ("Base64.decode text", "Cipher.doFinal text", "Method.invoke hidden")  # most payloads use one
# Names of classes that honest receivers and payloads share.
RECEIVERS = (
    ".BootReceiver",
    ".EventReceiver",
    ".UpdateReceiver",
    ".AlarmReceiver",
    ".WidgetReceiver",
    ".SyncReceiver",
)
SERVICES = (".SyncService", ".UpdateService", ".MainService")
WORDS = "blue bright clever early fresh green happy little lucky mellow nimble quick quiet silver simple sunny tidy warm".split()
